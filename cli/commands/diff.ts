import {
  type DiffOptions,
  type DiffReport,
  DiskDiff,
  formatSize,
  type HeldImage,
  type HeldRange,
  NotFoundError,
  openHeldRanges,
  type Range,
  readChain,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { Output } from '../output.ts'
import { Progress } from '../progress.ts'
import { parentOptions, parentOptionsOf } from '../volume-options.ts'

export default defineCommand({
  command: 'diff <image> [against]',
  describe: 'Where the disks in two images differ, or what a differencing image holds',
  builder: yargs =>
    yargs
      .positional('image', {
        type: 'string',
        demandOption: true,
        describe: 'An image or a disk; alone, a differencing VHDX or VHD',
      })
      .positional('against', { type: 'string', describe: 'The image or the disk that is compared with it' })
      .option('content', {
        type: 'boolean',
        describe: 'Of a differencing image alone: only what is not the same in its parent, which is read',
      })
      .options(parentOptions)
      .conflicts('content', 'against')
      .options(outputOptions)
      .example('$0 diff monday.vhdx tuesday.vhdx', 'Ranges of the disk that are not the same')
      .example('$0 diff child.avhdx', 'What the child holds, from its tables alone: its parent may be missing')
      .example('$0 diff child.avhdx --content --json', 'What of that really differs from the parent')
      .epilogue('Ends with 3 when the disks differ, with 0 when they are the same or one image alone was listed.'),
  lists: ['search'],
  handler: async args => {
    const output = new Output(args)
    const against = args.against ?? (args.content ? await parentOf(args.image, args) : undefined)
    if (against === undefined) return listHeld(args.image, output)
    const report = await interruptible(output, undefined, signal =>
      listDifferences([args.image, against], { ...parentOptionsOf(args), signal }, output),
    )
    return report.same ? ExitCode.done : ExitCode.problems
  },
})

async function listDifferences(paths: readonly [string, string], options: DiffOptions, output: Output) {
  const progress = new Progress(output)
  // On a terminal the ranges themselves show how far it is.
  const isShown = output.json || !process.stdout.isTTY
  await using diff = await DiskDiff.open(...paths, {
    ...options,
    onProgress: report => isShown && progress.report(report),
  })
  await output.results(jsonRanges(diff.ranges()), rangeText).finally(() => progress.stop())
  const { report } = diff
  const summary = { type: 'summary', image: paths[0], against: paths[1], ...report }
  await output.result(summary, () => reportText(report, paths))
  return report
}

/** The path of the parent of the image at `path`. */
async function parentOf(path: string, args: Parameters<typeof parentOptionsOf>[0]): Promise<string> {
  const { images, problem } = await readChain(path, parentOptionsOf(args))
  if (images.length > 1) return images[1]!.path
  throw problem ?? new NotFoundError('NOT_A_CHILD', `${path} has no parent. Say what to compare it with`, { path })
}

async function listHeld(path: string, output: Output): Promise<ExitCode> {
  await using image = await openHeldRanges(path)
  const held = { data: { ranges: 0, bytes: 0 }, zeros: { ranges: 0, bytes: 0 } }
  await output.results(counted(image, held), heldText)
  const { virtualSize, parentPaths } = image
  await output.result({ type: 'summary', image: path, virtualSize, parentPaths, ...held }, () =>
    [
      `${path} holds ${formatSize(held.data.bytes)} of its disk's ${formatSize(virtualSize)} in ${held.data.ranges} ranges`,
      ...(held.zeros.bytes > 0 ? [`, and hides ${formatSize(held.zeros.bytes)} of its parent with zeros`] : []),
    ].join(''),
  )
  return ExitCode.done
}

type Tally = Record<HeldRange['content'], { ranges: number; bytes: number }>

async function* counted(image: HeldImage, tally: Tally) {
  for await (const { offset, length, content } of image.heldRanges()) {
    tally[content].ranges++
    tally[content].bytes += length
    yield { type: 'range', offset, length, content }
  }
}

async function* jsonRanges(ranges: AsyncIterable<Range>) {
  for await (const { offset, length } of ranges) yield { type: 'range', offset, length }
}

const rangeText = ({ offset, length }: Range) => `${String(offset).padStart(15)}  ${String(length).padStart(12)}`

const heldText = (range: HeldRange) => `${rangeText(range)}  ${range.content}`

function reportText(
  { sizes, same, ranges, differentBytes, comparedBytes }: DiffReport,
  [a, b]: readonly [string, string],
) {
  const compared = `${formatSize(comparedBytes)} compared`
  if (same) return `${a} and ${b} hold the same disk: ${compared}`
  const places = ranges === 1 ? 'one range' : `${ranges} ranges`
  return [
    ranges === 0
      ? `${a} and ${b} differ in size alone`
      : `${a} and ${b} differ in ${places}, ${formatSize(differentBytes)}`,
    ...(sizes[0] === sizes[1] ? [] : [`the first disk has ${sizes[0]} bytes, the second ${sizes[1]}`]),
    compared,
  ].join('; ')
}
