import { type EntryKind, findEntries, OptionError, parseSize } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { entryLines } from '../entry-text.ts'
import { parseFileTime } from '../file-time.ts'
import { Listing } from '../listing.ts'
import { Output } from '../output.ts'
import { imageArgument, openFilesOf, volumeOptions } from '../volume-options.ts'

const KINDS: Readonly<Record<string, EntryKind>> = { f: 'file', d: 'directory', l: 'link', o: 'other' }

export default defineCommand({
  command: 'find <image> [path]',
  describe: 'Files of a volume by name, size, time and type',
  builder: yargs =>
    yargs
      .positional('image', imageArgument)
      .positional('path', { type: 'string', default: '/', describe: 'Where to look: a directory and all below it' })
      .option('name', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: "A glob for the name, or with a slash for the path, whatever the case: '*.docx', '/Users/*/*.pst'",
      })
      .option('type', {
        choices: Object.keys(KINDS),
        array: true,
        requiresArg: true,
        describe: 'f file, d directory, l link, o other; may be repeated',
      })
      .option('size', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'Of this size: +1M and more, --size=-10k and less, 512 exactly; may be repeated',
      })
      .option('newer', { type: 'string', requiresArg: true, describe: 'Modified after: 2026-11-22, 2026-11-22T17:23Z' })
      .option('older', { type: 'string', requiresArg: true, describe: 'Modified before' })
      .option('system', { type: 'boolean', default: false, describe: "The file system's own files too, such as $MFT" })
      .option('long', { type: 'boolean', alias: 'l', default: false, describe: 'As ls --long' })
      .option('hash', { type: 'boolean', default: false, describe: 'With the SHA-256 of each file' })
      .options(volumeOptions)
      .options(outputOptions)
      .example("$0 find sda.vhdx /Users --name '*.pst' --size +1M", 'Mailboxes')
      .example('$0 find sda.vhdx --newer 2026-11-01 --type f --json', 'What changed lately, for a program'),
  lists: ['name', 'type', 'size'],
  handler: async args => {
    const output = new Output(args)
    const criteria = {
      names: args.name,
      kinds: args.type?.map(letter => KINDS[letter]!),
      ...sizeLimits(args.size ?? []),
      newerThan: args.newer === undefined ? undefined : parseFileTime(args.newer, 'newer'),
      olderThan: args.older === undefined ? undefined : parseFileTime(args.older, 'older'),
      system: args.system,
    }
    await using opened = await openFilesOf(args, output)
    const { files } = opened
    const listing = new Listing(output, files)
    const found = findEntries(files, await files.stat(args.path), criteria)
    await listing.print(listing.listed(found, args.hash), batch => entryLines(batch, { long: args.long, path: true }))
    return listing.finish()
  },
})

/** All of `texts` have to hold. */
function sizeLimits(texts: readonly string[]): { minSize: number; maxSize: number } {
  let [minSize, maxSize] = [0, Number.MAX_SAFE_INTEGER]
  for (const text of texts) {
    const size = parseSize(text.replace(/^[+-]/, ''), 'size to look for')
    if (!text.startsWith('-')) minSize = Math.max(minSize, size)
    if (!text.startsWith('+')) maxSize = Math.min(maxSize, size)
  }
  if (minSize <= maxSize) return { minSize, maxSize }
  throw new OptionError('USAGE', `--size: nothing has ${minSize} bytes or more and ${maxSize} or less`)
}
