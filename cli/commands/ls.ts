import { DirectoryWalk, type Entry, type Files } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { entryLines, LETTERS_HELP, type LineOptions } from '../entry-text.ts'
import { inBatches, Listing } from '../listing.ts'
import { Output } from '../output.ts'
import { printableName } from '../printable.ts'
import { imageArgument, openFilesOf, volumeOptions } from '../volume-options.ts'

export default defineCommand({
  command: 'ls <image> [paths..]',
  describe: 'What is in a directory of a volume',
  builder: yargs =>
    yargs
      .positional('image', imageArgument)
      .positional('paths', { type: 'string', array: true, default: ['/'], describe: 'Directories and files: /Users' })
      .option('long', {
        type: 'boolean',
        alias: 'l',
        default: false,
        describe: `With attributes (${LETTERS_HELP}), links, size, time in UTC and link target`,
      })
      .option('recursive', { type: 'boolean', alias: 'R', default: false, describe: 'And in all directories below' })
      .option('streams', { type: 'boolean', default: false, describe: 'With the named streams of each file' })
      .option('system', { type: 'boolean', default: false, describe: "With the file system's own files, such as $MFT" })
      .option('hash', { type: 'boolean', default: false, describe: 'With the SHA-256 of each file' })
      .options(volumeOptions)
      .options(outputOptions)
      .example('$0 ls sda.vhdx /Users -l', 'A directory')
      .example('$0 ls sda.vhdx -R --json', 'The whole volume, a line of JSON for each entry'),
  lists: ['paths'],
  handler: async args => {
    const output = new Output(args)
    await using opened = await openFilesOf(args, output)
    const { files } = opened
    const listing = new Listing(output, files)
    const starts = await listing.each(args.paths, path => files.stat(path))
    if (args.json) await listing.print(listing.listed(unordered(files, starts, args), args.hash), () => [])
    else await printDirectories(output, listing, files, starts, args)
    return listing.finish()
  },
})

interface ListArguments extends LineOptions {
  readonly recursive: boolean
  readonly system: boolean
  readonly hash: boolean
}

/** For programs, which do not mind the order: whatever is fastest. */
async function* unordered(files: Files, starts: readonly Entry[], options: ListArguments) {
  for (const start of starts) {
    if (start.kind !== 'directory') yield [start]
    else yield* options.recursive ? files.scan(start, options) : inBatches(files.list(start, options))
  }
}

/** As ls does: what is no directory first, then each directory by name, under a heading where there are several. */
async function printDirectories(
  output: Output,
  listing: Listing,
  files: Files,
  starts: readonly Entry[],
  options: ListArguments,
): Promise<void> {
  const walk = new DirectoryWalk(files, options)
  const print = (entries: readonly Entry[], path: boolean) =>
    listing.print(listing.listed(once(entries), options.hash), batch => entryLines(batch, { ...options, path }))
  const others = starts.filter(({ kind }) => kind !== 'directory')
  let isRead = others.length === 0 || (await print(others, true))
  let isFirst = others.length === 0
  // What comes next is at the end: directories may be nested deeper than calls can be.
  const waiting = starts.filter(({ kind }) => kind === 'directory').reverse()
  for (; isRead && waiting.length > 0; isFirst = false) {
    const directory = waiting.pop()!
    if (options.recursive || starts.length > 1) {
      await output.pieces([`${isFirst ? '' : '\n'}${printableName(directory.path)}:\n`])
    }
    const isStart = starts.includes(directory)
    const entries = isStart ? await walk.list(directory) : await listing.list(walk, directory)
    isRead = await print(entries, false)
    if (options.recursive) waiting.push(...entries.filter(isReadable).reverse())
  }
}

const isReadable = ({ kind, error }: Entry) => kind === 'directory' && error === undefined

async function* once(entries: readonly Entry[]): AsyncGenerator<readonly Entry[]> {
  yield entries
}
