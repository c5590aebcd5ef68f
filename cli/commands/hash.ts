import {
  type Entry,
  type Files,
  findStream,
  HASH_ALGORITHMS,
  type HashResult,
  type HashSource,
  hashContents,
  OptionError,
  type StreamPath,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { Listing } from '../listing.ts'
import { Output } from '../output.ts'
import { printableName } from '../printable.ts'
import { imageArgument, openFilesOf, volumeOptions } from '../volume-options.ts'

export default defineCommand({
  command: 'hash <image> <paths..>',
  describe: 'Hashes of files, as sha256sum writes and checks them',
  builder: yargs =>
    yargs
      .positional('image', imageArgument)
      .positional('paths', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'Files, streams as file:stream, and with -r directories',
      })
      .option('recursive', { type: 'boolean', alias: 'r', default: false, describe: 'All files in directories' })
      .option('algorithm', { choices: HASH_ALGORITHMS, default: HASH_ALGORITHMS[0], describe: 'What is computed' })
      .option('streams', { type: 'boolean', default: false, describe: 'The named streams of files too' })
      .option('system', { type: 'boolean', default: false, describe: "The file system's own files too, such as $MFT" })
      .option('raw', { type: 'boolean', default: false, describe: 'Encrypted files as they lie on the volume' })
      .options(volumeOptions)
      .options(outputOptions)
      .example('$0 hash sda.vhdx /Users/anna/thesis.docx', 'One file')
      .example('$0 hash sda.vhdx -r / > sums', 'All; sha256sum --check sums, in a copy or a mount'),
  lists: ['paths'],
  handler: async args => {
    const output = new Output(args)
    await using opened = await openFilesOf(args, output)
    const { files } = opened
    const listing = new Listing(output, files)
    const starts = await listing.each(args.paths, path => startAt(files, path, args.recursive))
    await output.pieces(
      lines(hashContents(files, sourcesIn(files, starts, args), args), output, listing, args.algorithm),
    )
    return listing.finish()
  },
})

interface Selection {
  readonly recursive: boolean
  readonly streams: boolean
  readonly system: boolean
}

async function startAt(files: Files, path: string, recursive: boolean): Promise<StreamPath> {
  const start = await findStream(files, path)
  if (start.entry.kind !== 'directory' || start.stream !== undefined || recursive) return start
  throw new OptionError('USAGE', `${start.entry.path} is a directory: --recursive hashes the files in it`)
}

async function* sourcesIn(files: Files, starts: readonly StreamPath[], selection: Selection) {
  for (const { entry, stream } of starts) {
    if (stream !== undefined) yield [{ entry, stream }]
    else yield contentsOf(entry, selection)
    if (stream !== undefined || entry.kind !== 'directory') continue
    for await (const batch of files.scan(entry, selection)) yield batch.flatMap(found => contentsOf(found, selection))
  }
}

/** What of an entry is hashed: nothing of a directory or a link but its streams. */
function contentsOf(entry: Entry, { streams }: Selection): HashSource[] {
  const named = streams ? entry.streams.map(({ name }) => ({ entry, stream: name })) : []
  return entry.kind === 'file' || entry.error !== undefined ? [{ entry }, ...named] : named
}

/** What cannot be hashed has no line among the others, as with sha256sum, but with --json. */
async function* lines(
  portions: AsyncIterable<readonly HashResult[]>,
  output: Output,
  listing: Listing,
  algorithm: string,
): AsyncGenerator<string> {
  for await (const portion of portions) {
    let text = ''
    for (const { entry, stream, hash, error } of portion) {
      const path = stream === undefined ? entry.path : `${entry.path}:${stream}`
      if (output.json) listing.judge({ entry, error })
      else if (error !== undefined) listing.problem(path, error)
      const outcome = error === undefined ? { hash } : { error: { code: error.code, message: error.message } }
      if (output.json) text += `${JSON.stringify({ path, algorithm, ...outcome })}\n`
      else if (hash !== undefined) text += sumLine(hash, path)
    }
    yield text
  }
}

/**
 * Without the first slash, so that sums are checked where they are and not in the root of whoever checks them. On a
 * terminal names are made safe; elsewhere they are as sha256sum writes them, which escapes these three characters.
 */
function sumLine(hash: string, path: string): string {
  const name = path.slice(1)
  if (process.stdout.isTTY) return `${hash}  ${printableName(name)}\n`
  const escaped = name.replace(/[\\\n\r]/g, character => ({ '\n': '\\n', '\r': '\\r' })[character] ?? '\\\\')
  return `${escaped === name ? '' : '\\'}${hash}  ${escaped}\n`
}
