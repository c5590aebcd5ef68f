import { type CompactReport, compactImage, formatSize } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { Output } from '../output.ts'
import { duration, Progress } from '../progress.ts'
import { packageVersion } from '../version.ts'
import { parentOptions, parentOptionsOf } from '../volume-options.ts'

export default defineCommand({
  command: 'compact <image>',
  describe: 'Make a VHDX smaller: drop blocks that hold nothing, and pack the file',
  builder: yargs =>
    yargs
      .positional('image', {
        type: 'string',
        demandOption: true,
        describe: 'A VHDX; it is changed itself, and whole at every moment',
      })
      .option('to', { type: 'string', requiresArg: true, describe: 'Write a packed copy there, and leave the image' })
      .option('zero-free', {
        type: 'boolean',
        default: false,
        describe: 'Clear what no file uses in the blocks that are kept, too',
      })
      .option('force', {
        type: 'boolean',
        default: false,
        describe:
          'Although it has children, which do not fit it any more then; with --to, replace a file that is there',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'Only say what would be gained' })
      .options(parentOptions)
      .options(outputOptions)
      .example('$0 compact disk.vhdx --dry-run', 'What would be gained')
      .example('$0 compact disk.vhdx', 'Blocks of zeros, and of clusters that no file uses, lose their places')
      .example('$0 compact disk.vhdx --zero-free', 'And nothing that was deleted stays in the others')
      .example(
        '$0 compact disk.vhdx --to small.vhdx',
        'The same in a copy; where the file system can, blocks are shared',
      ),
  lists: ['search'],
  handler: async args => {
    const output = new Output(args)
    const progress = new Progress(output)
    const { image, to, zeroFree, force, dryRun } = args
    const report = await interruptible(
      output,
      to ?? { leftAs: `${image} is whole, and what is left can be done later` },
      signal =>
        compactImage(image, {
          to,
          zeroFree,
          dryRun,
          force,
          creator: `vhdx ${packageVersion()}`,
          ...parentOptionsOf(args),
          signal,
          onProgress: report => progress.report(report),
        }),
    ).finally(() => progress.stop())
    const { findings, ...figures } = report
    for (const finding of findings) output.warn(finding)
    await output.result({ ...figures, warnings: findings }, () => text(report))
    return ExitCode.done
  },
})

function text(report: CompactReport): string {
  const { path, target, sizeBefore, sizeAfter, blocks, zeroBlocks, freeBlocks, dryRun } = report
  const gained = sizeBefore - sizeAfter
  const change = gained > 0 ? `${formatSize(gained)} less` : 'no less'
  const lines = [
    `${target} ${dryRun ? 'would have' : 'has'} ${formatSize(sizeAfter)}, ${change} than ${target === path ? 'before' : path}`,
    `blocks: ${blocks - zeroBlocks - freeBlocks} kept, ${zeroBlocks} of zeros and ${freeBlocks} that nothing uses dropped`,
    ...details(report),
    ...report.wholeVolumes.map(({ partition, fileSystem, label, reason }) => {
      const name = `${fileSystem}${label ? ` "${label}"` : ''}`
      return `kept, but for zeros: ${partition === undefined ? 'the disk' : `partition ${partition}`} (${name}): ${reason}`
    }),
  ]
  return lines.join('\n')
}

function details({ path, target, movedBytes, sharedBytes, clearedBytes, seconds, dryRun }: CompactReport): string[] {
  const moved = target === path ? 'moved' : 'copied'
  const shared = sharedBytes > 0 ? `, ${formatSize(sharedBytes)} of it shared and not copied` : ''
  return [
    ...(clearedBytes > 0 ? [`cleared: ${formatSize(clearedBytes)} that nothing uses in blocks that are kept`] : []),
    ...(movedBytes > 0 ? [`${moved}: ${formatSize(movedBytes)}${shared}`] : []),
    ...(dryRun ? [] : [`took ${duration(seconds)}`]),
  ]
}
