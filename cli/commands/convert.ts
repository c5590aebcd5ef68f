import {
  type ConvertPlan,
  type ConvertSummary,
  convertDisk,
  formatSize,
  OptionError,
  parseSize,
  planConversion,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { facts, Output } from '../output.ts'
import { duration, Progress } from '../progress.ts'
import { packageVersion } from '../version.ts'
import { parentOptions, parentOptionsOf } from '../volume-options.ts'

const FORMATS = ['vhdx', 'vhd', 'raw'] as const

export default defineCommand({
  command: 'convert <source> <target>',
  describe: 'Write the disk in an image, or a raw disk, as a VHDX, a VHD or a raw disk',
  builder: yargs =>
    yargs
      .positional('source', {
        type: 'string',
        demandOption: true,
        describe: 'A VHDX, a VHD, a raw image or a disk; of a differencing image with all that its parents hold',
      })
      .positional('target', { type: 'string', demandOption: true, describe: 'The file to write' })
      .option('to', {
        choices: FORMATS,
        requiresArg: true,
        describe: 'What to write; default: as the name of the target says',
      })
      .option('fixed', {
        type: 'boolean',
        default: false,
        describe: 'A fixed VHDX or VHD: every byte of the disk is written. A raw disk always is',
      })
      .option('block-size', {
        type: 'string',
        requiresArg: true,
        describe:
          'Size of a block: 1MiB to 256MiB in a VHDX (default: as in a VHDX that is read, else 1MiB up to 2 TiB, then doubling), 2MiB or 512KiB in a VHD',
      })
      .option('new-id', {
        type: 'boolean',
        default: false,
        describe:
          'Give the disk a new identity; otherwise it keeps that of the source (Page 83 of a VHDX, unique id of a VHD)',
      })
      .option('format', {
        choices: FORMATS,
        requiresArg: true,
        describe: 'What the source is; default: found from its content. raw takes any file for the disk itself',
      })
      .options(parentOptions)
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'Replace the target; convert a source that is mounted',
      })
      .option('dry-run', {
        type: 'boolean',
        default: false,
        describe: 'Only say what would be written, and how large it would be at most',
      })
      .options(outputOptions)
      .example('$0 convert old.vhd new.vhdx', 'An older image for Hyper-V of today')
      .example('$0 convert child.avhdx whole.vhdx', 'A differencing image and its parents as one image without any')
      .example('$0 convert sda.vhdx sda.vhd --fixed', 'For Azure, XenServer and other programs that know VHD only')
      .example('$0 convert sda.vhdx sda.raw', 'For programs that know no images')
      .example('$0 convert big.vhdx small.vhdx --block-size 1MiB', 'Smaller blocks, of which fewer are half empty'),
  lists: ['search'],
  handler: async args => {
    if (args.target === '-') {
      throw new OptionError(
        'NOT_IN_A_PIPE',
        'an image is written here and there, which a pipe does not take. Give a file',
      )
    }
    const output = new Output(args)
    const options = {
      source: args.source,
      sourceFormat: args.format,
      target: args.target,
      to: args.to,
      fixed: args.fixed,
      blockSize: args.blockSize === undefined ? undefined : parseSize(args.blockSize, 'block size'),
      newId: args.newId,
      force: args.force,
      ...parentOptionsOf(args),
      tool: { name: 'vhdx', version: packageVersion() },
    }
    if (args.dryRun) {
      const plan = await planConversion(options)
      await output.result({ type: 'plan', ...plan }, () => planText(plan, args.target))
      return plan.hazards.length > 0 ? ExitCode.problems : ExitCode.done
    }
    const progress = new Progress(output)
    const summary = await interruptible(output, args.target, signal =>
      convertDisk({
        ...options,
        signal,
        onProgress: report => progress.report(report),
        onFinding: finding => progress.aside(() => output.warn(finding)),
      }).finally(() => progress.stop()),
    )
    const { findings, ...figures } = summary
    await output.result({ type: 'summary', ...figures, warnings: findings }, () => summaryText(summary, args.target))
    return ExitCode.done
  },
})

const formOf = ({ format, type }: ConvertPlan['image']) =>
  format === 'raw' ? 'raw disk' : `${type} ${format.toUpperCase()}`

function planText(plan: ConvertPlan, target: string): string {
  const { source, sourceFormat, chain, image, dataBytes, expectedSize } = plan
  const { type, virtualSize, blockSize, diskId } = image
  const parents = chain.slice(1)
  return [
    facts([
      ['source', `${source} (${sourceFormat})`],
      ['parents', parents.length > 0 ? parents.join(', ') : undefined],
      ['target', `${target}, a ${formOf(image)}`],
      ['disk', `${formatSize(virtualSize)} (${virtualSize} bytes)`],
      ['blocks', blockSize === null ? undefined : formatSize(blockSize)],
      ['disk id', diskId ?? undefined],
      ['to read', formatSize(dataBytes)],
      ['file', `${type === 'dynamic' ? 'at most ' : ''}${formatSize(expectedSize)} (${expectedSize} bytes)`],
    ]),
    ...plan.hazards.map(hazard => `would be refused without --force: ${hazard.message}`),
    ...plan.findings.map(finding => `warning: ${finding.message}`),
  ].join('\n')
}

function summaryText(summary: ConvertSummary, target: string): string {
  const { image, bytesRead, bytesWritten, sharedBytes, blocks, seconds } = summary
  const how = [
    ...(blocks === null ? [] : [`${blocks} blocks`]),
    ...(sharedBytes === 0 ? [] : [`${formatSize(sharedBytes)} of it shared with what was read`]),
  ]
  const details = how.length === 0 ? '' : ` (${how.join(', ')})`
  return `${target} is complete: a ${formOf(image)} of ${formatSize(image.virtualSize)}, ${formatSize(bytesRead)} read, ${formatSize(bytesWritten)} written${details} in ${duration(seconds)}, ${formatSize(bytesWritten / Math.max(seconds, 0.001))}/s`
}
