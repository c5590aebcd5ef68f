import { findStream, NotFoundError, readContent } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { Output } from '../output.ts'
import { imageArgument, openFilesOf, volumeOptions } from '../volume-options.ts'

export default defineCommand({
  command: 'cat <image> <path>',
  describe: 'The content of a file, byte by byte, on standard output',
  builder: yargs =>
    yargs
      .positional('image', imageArgument)
      .positional('path', { type: 'string', demandOption: true, describe: 'A file, or a stream of it as file:stream' })
      .option('raw', { type: 'boolean', default: false, describe: 'An encrypted file as it lies on the volume' })
      .options(volumeOptions)
      .options(outputOptions)
      .example('$0 cat sda.vhdx /Users/anna/thesis.docx > thesis.docx', 'A file')
      .example('$0 cat sda.vhdx /Users/anna/setup.exe:Zone.Identifier', 'Where it was downloaded from'),
  handler: async args => {
    const output = new Output(args)
    await using opened = await openFilesOf(args, output)
    const { entry, stream } = await findStream(opened.files, args.path)
    if (entry.kind === 'directory' && stream === undefined) throw isDirectory(entry.path)
    await output.pieces(readContent(await opened.files.open(entry, stream, { raw: args.raw })))
    return ExitCode.done
  },
})

const isDirectory = (path: string) =>
  new NotFoundError('NOT_A_FILE', `${path} is a directory, which has no content. See vhdx ls`, { path })
