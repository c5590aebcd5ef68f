import { convertDisk, formatSize, type MergeReport, mergeImage, OptionError, planConversion } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { Output } from '../output.ts'
import { duration, Progress } from '../progress.ts'
import { packageVersion } from '../version.ts'

export default defineCommand({
  command: 'merge <image>',
  describe: 'Put what a differencing VHDX holds into its parent, or into a new image',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A differencing VHDX' })
      .option('into', {
        type: 'string',
        requiresArg: true,
        describe: 'The image to merge into, one of the parents, with all between. Default: the parent',
      })
      .option('to', {
        type: 'string',
        requiresArg: true,
        describe: 'Write a new VHDX without a parent there instead, and change no other image',
      })
      .option('delete', {
        type: 'boolean',
        default: false,
        describe: 'Delete the merged images afterwards, as Hyper-V does. Otherwise they stay, and fit the parent',
      })
      .option('search', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'A folder in which parents may be',
      })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'Although other images are children of one that changes; with --to, replace a file that is there',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'Only say what would be done' })
      .options(outputOptions)
      .example('$0 merge monday.avhdx', 'Its parent becomes the disk that it is')
      .example('$0 merge friday.avhdx --into base.vhdx --delete', 'A whole week, of which nothing stays but the base')
      .example('$0 merge friday.avhdx --to friday.vhdx', 'One image without parents')
      .epilogue(
        'The image can be read at every moment, and what was interrupted goes on when it is asked for again. Other images between it and the one that is merged into are of no use by themselves afterwards.',
      ),
  lists: ['search'],
  handler: async args => {
    const { to } = args
    if (to === undefined) return mergeInPlace(args)
    if (args.into === undefined && !args.delete) return mergeToNew({ ...args, to })
    throw new OptionError(
      'USAGE',
      '--to writes a new image and changes no other: it goes with neither --into nor --delete',
    )
  },
})

interface MergeArguments {
  readonly image: string
  readonly into: string | undefined
  readonly delete: boolean
  readonly search: readonly string[] | undefined
  readonly force: boolean
  readonly dryRun: boolean
  readonly json: boolean
  readonly quiet: boolean
}

async function mergeInPlace(args: MergeArguments): Promise<ExitCode> {
  const output = new Output(args)
  const progress = new Progress(output)
  const { image, into, search, force, dryRun } = args
  const leftAs = `${image} reads as before, and the same merge goes on where it was`
  const report = await interruptible(output, { leftAs }, signal =>
    mergeImage(image, {
      into,
      deleteMerged: args.delete,
      ...(search && { search }),
      force,
      dryRun,
      signal,
      onProgress: report => progress.report(report),
    }),
  ).finally(() => progress.stop())
  const { findings, ...figures } = report
  for (const finding of findings) output.warn(finding)
  await output.result({ type: 'summary', ...figures, warnings: findings }, () => text(report))
  return args.delete && !dryRun && !report.deleted ? ExitCode.problems : ExitCode.done
}

function text(report: MergeReport): string {
  const { path, into, merged, children, resumed, deleted, dryRun } = report
  const { sizeBefore, sizeAfter, dataBytes, zeroBytes, seconds } = report
  const [becomes, are] = dryRun ? ['would become', 'would be'] : ['is now', 'were']
  const zeros = zeroBytes > 0 ? `, and ${formatSize(zeroBytes)} of zeros` : ''
  const took = dryRun ? '' : ` in ${duration(seconds)}, ${formatSize(dataBytes / Math.max(seconds, 0.001))}/s`
  const isKept = !deleted && !dryRun
  const unneeded = children.length === 0 ? merged : merged.slice(1)
  return [
    `${into} ${becomes} the disk of ${path}: ${formatSize(dataBytes)} copied${zeros}${took}`,
    ...(resumed ? ['a merge that was begun before was finished'] : []),
    ...(sizeBefore === sizeAfter
      ? []
      : [`its size ${becomes} ${formatSize(sizeAfter)}, and was ${formatSize(sizeBefore)}`]),
    ...(deleted ? [`${are} deleted: ${merged.join(', ')}`] : []),
    ...(isKept && unneeded.length > 0 ? [`not needed any more: ${unneeded.join(', ')}`] : []),
    ...(isKept && children.length > 0 ? [`still needed: ${path}, the parent of ${children.join(', ')}`] : []),
  ].join('\n')
}

async function mergeToNew(args: MergeArguments & { readonly to: string }): Promise<ExitCode> {
  const output = new Output(args)
  const progress = new Progress(output)
  const { image, to, search, force } = args
  const tool = { name: 'vhdx', version: packageVersion() }
  const options = { source: image, target: to, to: 'vhdx', ...(search && { search }), force, tool } as const
  const { chain, dataBytes, expectedSize, findings: expected } = await planConversion(options)
  if (chain.length < 2) {
    throw new OptionError('NOT_A_CHILD', `${image} is no differencing image: vhdx convert makes another one of it`)
  }
  const facts = { type: 'summary', path: image, into: to, merged: chain, dataBytes }
  if (args.dryRun) {
    for (const finding of expected) output.warn(finding)
    await output.result(
      { ...facts, expectedSize, dryRun: true, warnings: expected },
      () => `${to} would hold the disk of ${image} in at most ${formatSize(expectedSize)}`,
    )
    return ExitCode.done
  }
  const summary = await interruptible(output, to, signal =>
    convertDisk({
      ...options,
      signal,
      onProgress: report => progress.report(report),
      onFinding: finding => progress.aside(() => output.warn(finding)),
    }),
  ).finally(() => progress.stop())
  const { findings, bytesWritten, seconds } = summary
  await output.result(
    { ...facts, bytesWritten, dryRun: false, seconds, warnings: findings },
    () =>
      `${to} holds the disk of ${image}: ${formatSize(bytesWritten)} written in ${duration(seconds)}, ${formatSize(bytesWritten / Math.max(seconds, 0.001))}/s`,
  )
  return ExitCode.done
}
