import { type DiskUsage, diskUsage, formatSize } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { Output } from '../output.ts'
import { printableName } from '../printable.ts'
import { imageArgument, openFilesOf, volumeOptions } from '../volume-options.ts'

export default defineCommand({
  command: 'du <image> [path]',
  describe: 'How much the files in each directory take',
  builder: yargs =>
    yargs
      .positional('image', imageArgument)
      .positional('path', {
        type: 'string',
        default: '/',
        describe: 'A directory; a file with several names counts once',
      })
      .option('depth', { type: 'number', alias: 'd', requiresArg: true, describe: 'How many levels to list' })
      .option('bytes', { type: 'boolean', alias: 'b', default: false, describe: 'Sizes in bytes' })
      .option('system', { type: 'boolean', default: false, describe: "With the file system's own files, such as $MFT" })
      .options(volumeOptions)
      .options(outputOptions)
      .example('$0 du sda.vhdx /Users -d 1', 'What each user takes'),
  handler: async args => {
    const output = new Output(args)
    await using opened = await openFilesOf(args, output)
    const { files } = opened
    const usages = await diskUsage(files, await files.stat(args.path), args)
    await output.pieces(args.json ? usages.map(usage => `${JSON.stringify(usage)}\n`) : [text(usages, args.bytes)])
    for (const finding of files.findings) output.remark(finding)
    return usages.at(-1)!.errors > 0 || files.findings.length > 0 ? ExitCode.problems : ExitCode.done
  },
})

/** Content, what it takes on the volume, and where. */
function text(usages: readonly DiskUsage[], bytes: boolean): string {
  const format = bytes ? String : formatSize
  const rows = usages.map(({ size, allocatedSize, path }) => [format(size), format(allocatedSize), printableName(path)])
  const [sizes, allocated] = [0, 1].map(column => Math.max(...rows.map(row => row[column]!.length)))
  return rows
    .map(([size, used, path]) => `${size!.padStart(sizes!)}  ${used!.padStart(allocated!)}  ${path}\n`)
    .join('')
}
