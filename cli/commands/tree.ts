import { DirectoryWalk, type Entry } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import type { Listed } from '../entry-json.ts'
import { entryLines } from '../entry-text.ts'
import { inBatches, Listing } from '../listing.ts'
import { isUtf8, Output } from '../output.ts'
import { imageArgument, openFilesOf, volumeOptions } from '../volume-options.ts'

/** What stands before an entry that others follow, before the last, and below each of these. */
const UNICODE = { entry: '├── ', last: '└── ', beside: '│   ', below: '    ' }
const ASCII = { entry: '|-- ', last: '`-- ', beside: '|   ', below: '    ' }

export default defineCommand({
  command: 'tree <image> [path]',
  describe: 'A directory and all below it, as a picture',
  builder: yargs =>
    yargs
      .positional('image', imageArgument)
      .positional('path', { type: 'string', default: '/', describe: 'Where to begin' })
      .option('depth', { type: 'number', alias: 'd', requiresArg: true, describe: 'How many levels to show' })
      .option('system', { type: 'boolean', default: false, describe: "With the file system's own files, such as $MFT" })
      .option('ascii', { type: 'boolean', default: !isUtf8(), describe: 'Draw with ASCII characters' })
      .options(volumeOptions)
      .options(outputOptions)
      .example('$0 tree sda.vhdx -d 2', 'The two upper levels'),
  handler: async args => {
    const output = new Output(args)
    await using opened = await openFilesOf(args, output)
    const listing = new Listing(output, opened.files)
    const walk = new DirectoryWalk(opened.files, args)
    const list = (directory: Entry) => listing.list(walk, directory)
    const start = await opened.files.stat(args.path)
    const nodes = nodesBelow(start, args.depth ?? Number.POSITIVE_INFINITY, list, args.ascii ? ASCII : UNICODE)
    await listing.print(inBatches(nodes), batch =>
      batch.map(node => `${node.indent}${entryLines([node], { path: node.entry === start })[0]}`),
    )
    return listing.finish()
  },
})

interface Node extends Listed {
  /** What is drawn before it, and before all that is below it. */
  readonly indent: string
  readonly indentBelow: string
  readonly depth: number
}

/** `start` and what is below, each directory followed by what is in it. */
async function* nodesBelow(
  start: Entry,
  depth: number,
  list: (directory: Entry) => Promise<readonly Entry[]>,
  pens: typeof UNICODE,
): AsyncGenerator<Node> {
  // What comes next is at the end: directories may be nested deeper than calls can be.
  const waiting: Node[] = [{ entry: start, indent: '', indentBelow: '', depth: 0 }]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    yield node
    const { entry, indentBelow, depth: level } = node
    if (entry.kind !== 'directory' || entry.error !== undefined || level >= depth) continue
    const entries = await list(entry)
    const last = entries.at(-1)
    const below = entries.map(found => ({
      entry: found,
      indent: indentBelow + (found === last ? pens.last : pens.entry),
      indentBelow: indentBelow + (found === last ? pens.below : pens.beside),
      depth: level + 1,
    }))
    waiting.push(...below.reverse())
  }
}
