import {
  type CapturePlan,
  type CaptureSummary,
  captureDisk,
  type Finding,
  formatSize,
  LEFT_OUT_REASONS,
  OptionError,
  parseSize,
  planCapture,
  stdoutSink,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { facts, Output } from '../output.ts'
import { duration, Progress } from '../progress.ts'
import { table } from '../table.ts'
import { packageVersion } from '../version.ts'

const KEPT_KINDS = LEFT_OUT_REASONS.filter(reason => reason !== 'excluded')

export default defineCommand({
  command: 'capture <source> <target>',
  describe: "Copy a disk's used clusters into a dynamic VHDX",
  builder: yargs =>
    yargs
      .positional('source', {
        type: 'string',
        demandOption: true,
        describe: 'A disk, a partition, a raw image, a VHDX or a VHD: /dev/sda, \\\\.\\PhysicalDrive0, disk.raw',
      })
      .positional('target', {
        type: 'string',
        demandOption: true,
        describe: 'The image to write; - streams it to standard output in one pass',
      })
      .option('block-size', {
        type: 'string',
        requiresArg: true,
        describe: 'Size of a block, 1MiB to 256MiB; auto: 1MiB up to 2 TiB, then doubling',
        default: 'auto',
      })
      .option('keep', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: `Copy what is left out by default, separated by commas: ${KEPT_KINDS.join(', ')}`,
      })
      .option('exclude', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'Leave out the content of files that match this glob too; they read as zeros',
      })
      .option('on-read-error', {
        choices: ['zero', 'fail'] as const,
        default: 'zero' as const,
        describe: 'What becomes of sectors that cannot be read',
      })
      .option('source-size', {
        type: 'string',
        requiresArg: true,
        describe: 'Size of the source, where the system cannot tell it',
      })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'Replace the target; copy a source that is mounted, dirty, hibernated or damaged',
      })
      .option('dry-run', {
        type: 'boolean',
        default: false,
        describe: 'Only say what would be copied and how large the image would be',
      })
      .options(outputOptions)
      .example('$0 capture /dev/sda sda.vhdx', 'The whole disk, used clusters only')
      .example('$0 capture sda.raw sda.vhdx --dry-run', 'What would be copied')
      .example('$0 capture /dev/sda - | gzip > sda.gz', 'In one pass through a pipe')
      .example("$0 capture sda.raw sda.vhdx --exclude '*.iso'", 'Leave out more'),
  lists: ['keep', 'exclude'],
  handler: async args => {
    const streams = args.target === '-'
    if (streams && process.stdout.isTTY && !args.dryRun) {
      throw new OptionError(
        'STDOUT_IS_TERMINAL',
        'an image cannot be written to a terminal. Pipe it on, or give a file',
      )
    }
    const output = new Output(args, streams)
    const options = {
      source: args.source,
      sourceSize: args.sourceSize === undefined ? undefined : parseSize(args.sourceSize, 'source size'),
      blockSize: args.blockSize === 'auto' ? undefined : parseSize(args.blockSize, 'block size'),
      keep: parseKeep(args.keep),
      exclude: args.exclude,
      onReadError: args.onReadError,
      force: args.force,
      tool: { name: 'vhdx', version: packageVersion() },
    }
    if (args.dryRun) {
      const plan = await planCapture({ ...options, target: args.target })
      await output.result({ type: 'plan', ...plan }, () => planText(plan))
      return plan.hazards.length > 0 ? ExitCode.problems : ExitCode.done
    }
    const progress = new Progress(output)
    const summary = await interruptible(output, args.target, signal =>
      captureDisk({
        ...options,
        target: streams ? stdoutSink() : args.target,
        signal,
        onProgress: report => progress.report(report),
        onFinding: finding => progress.aside(() => output.warn(finding)),
        onVolume: ({ number }, { fileSystem, label }) =>
          progress.aside(() => output.note(`partition ${number}: ${fileSystem}${label ? ` "${label}"` : ''}`)),
      }).finally(() => progress.stop()),
    )
    const { findings: _, ...figures } = summary
    await output.result({ type: 'summary', ...figures, warnings: warningsOf(summary) }, () =>
      summaryText(summary, streams ? 'The image' : args.target),
    )
    return summary.readErrors.bytes > 0 ? ExitCode.problems : ExitCode.done
  },
})

type Kind = (typeof LEFT_OUT_REASONS)[number]

function parseKeep(lists: readonly string[] = []): Kind[] {
  const kinds = lists
    .flatMap(list => list.split(','))
    .map(kind => kind.trim())
    .filter(kind => kind !== '')
  const unknown = kinds.find(kind => !(KEPT_KINDS as string[]).includes(kind))
  if (unknown === undefined) return kinds as Kind[]
  throw new OptionError('BAD_KEEP', `--keep knows no '${unknown}'. Known: ${KEPT_KINDS.join(', ')}`)
}

const warningsOf = ({ findings, readErrors }: CaptureSummary): Finding[] => [
  ...findings,
  ...(readErrors.bytes > 0
    ? [{ code: 'READ_ERRORS', message: `${readErrors.bytes} bytes could not be read and are zeros in the image` }]
    : []),
]

function summaryText(summary: CaptureSummary, target: string): string {
  const { usedBytes, bytesWritten, blocks, seconds, leftOut, readErrors } = summary
  const lines = [
    `${target} is complete: ${formatSize(usedBytes)} copied into ${formatSize(bytesWritten)} (${blocks} blocks) in ${duration(seconds)}, ${formatSize(usedBytes / Math.max(seconds, 0.001))}/s`,
    ...leftOut.map(
      file => `left out: ${file.path} on partition ${file.partition}, ${formatSize(file.bytes)} (${file.reason})`,
    ),
  ]
  if (readErrors.bytes > 0) {
    lines.push(
      `UNREADABLE: ${readErrors.bytes} bytes could not be read and are zeros in the image:`,
      ...readErrors.ranges.slice(0, 20).map(({ offset, length }) => `  ${length} bytes at byte ${offset}`),
    )
  }
  return lines.join('\n')
}

function planText(plan: CapturePlan): string {
  const rows = plan.partitions.map(({ number, type, fileSystem, label, size, usedBytes }) => [
    String(number),
    type,
    fileSystem,
    label ?? '',
    formatSize(size),
    formatSize(usedBytes),
  ])
  const lines = [
    facts([
      ['source', plan.source],
      [
        'disk',
        `${formatSize(plan.virtualSize)} (${plan.virtualSize} bytes), ${plan.logicalSectorSize}-byte sectors, table ${plan.partitionTable}`,
      ],
      ['block size', formatSize(plan.blockSize)],
      ['to copy', formatSize(plan.usedBytes)],
      ['image', `at most ${formatSize(plan.expectedSize)} (${plan.expectedSize} bytes)`],
    ]),
    '',
    table(['#', 'type', 'file system', 'label', 'size', 'used'], rows, [0, 4, 5]),
    ...plan.leftOut.map(
      file => `left out: ${file.path} on partition ${file.partition}, ${formatSize(file.bytes)} (${file.reason})`,
    ),
    ...plan.hazards.map(hazard => `would be refused without --force: ${hazard.message}`),
    ...plan.findings.map(finding => `warning: ${finding.message}`),
  ]
  return lines.join('\n')
}
