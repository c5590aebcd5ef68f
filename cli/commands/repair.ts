import {
  formatSize,
  OptionError,
  type RepairReport,
  repairImage,
  type SalvageReport,
  salvageImage,
  type UndoneRepair,
  undoRepair,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { Output } from '../output.ts'
import { Progress } from '../progress.ts'
import { packageVersion } from '../version.ts'
import { parentOptions, parentOptionsOf } from '../volume-options.ts'

export default defineCommand({
  command: 'repair <image>',
  describe: 'Put a damaged VHDX right, in place, or salvage what can be read of it',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A VHDX' })
      .option('to', {
        type: 'string',
        requiresArg: true,
        describe:
          'Write what can be read to this new image instead; of a differencing one with all that its parents hold',
      })
      .option('undo', {
        type: 'boolean',
        default: false,
        describe: 'Go back: make the image what it was before, from IMAGE-undo',
      })
      .option('log', {
        choices: ['replay', 'discard'] as const,
        requiresArg: true,
        describe:
          'discard: give up a log that cannot be replayed, and with it what it should have changed. Where both headers are lost and a log may count or not, say which',
      })
      .option('header', {
        choices: [1, 2] as const,
        requiresArg: true,
        describe: 'Which header counts, where two different ones have the same number',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'Only say what would be done and what is lost' })
      .options(parentOptions)
      .option('force', { type: 'boolean', default: false, describe: 'With --to: replace a file that is there' })
      .options(outputOptions)
      .example('$0 repair sda.vhdx', 'Exit 0: as it was, and clean. 3: something is lost, or left. 4: still damaged')
      .example('$0 repair sda.vhdx --undo', 'Every byte is again what it was')
      .example('$0 repair sda.vhdx --to new.vhdx', 'From a medium that fails, say: sda.vhdx is only read')
      .epilogue(
        'What changes is first copied to IMAGE-undo. A repair that was cut off is finished by the next one. What can be read before can be read afterwards; blocks that cannot are lost, are listed, and are undefined from then on.',
      ),
  lists: ['search'],
  handler: async args => {
    const { to, undo, dryRun } = args
    if (undo && (dryRun || to !== undefined)) {
      throw new OptionError('USAGE', `--undo and ${dryRun ? '--dry-run' : '--to'} do not go together`)
    }
    if (to === undefined && (args.force || args.parent !== undefined || args.search !== undefined)) {
      throw new OptionError(
        'USAGE',
        '--force, --parent and --search go with --to: in place the image alone is repaired',
      )
    }
    const output = new Output(args)
    const progress = new Progress(output)
    const options = { tool: { name: 'vhdx', version: packageVersion() }, log: args.log, header: args.header }
    const running = <T>(work: (signal: AbortSignal) => Promise<T>) =>
      interruptible(output, to, signal => work(signal).finally(() => progress.stop()))
    const onProgress = (report: Parameters<Progress['report']>[0]) => progress.report(report)
    if (undo) {
      const undone = await running(signal => undoRepair(args.image, { ...options, onProgress, signal }))
      await output.result({ type: 'summary', ...undone }, () => undoneText(undone))
      return ExitCode.done
    }
    const type = dryRun ? 'plan' : 'summary'
    if (to !== undefined) {
      const given = { ...options, ...parentOptionsOf(args), target: to, force: args.force, dryRun, onProgress }
      const salvaged = await running(signal => salvageImage(args.image, { ...given, signal }))
      await output.result({ type, ...salvaged }, () => salvagedText(salvaged))
      return exitCodeOf(salvaged)
    }
    const report = await running(signal => repairImage(args.image, { ...options, dryRun, onProgress, signal }))
    await output.result({ type, ...report }, () => reportText(report))
    return exitCodeOf(report)
  },
})

function exitCodeOf({ lost, left, findings, steps, ...rest }: RepairReport | SalvageReport): ExitCode {
  if (left.some(({ severity }) => severity === 'error')) return ExitCode.damaged
  const bytes = lost.bytes + ('unread' in rest ? rest.unread.bytes : 0)
  const isWhole = bytes === 0 && findings.length === 0 && steps.every(({ fate }) => fate === 'mended')
  return isWhole && left.every(({ severity }) => severity === 'note') ? ExitCode.done : ExitCode.problems
}

function undoneText({ path, changed, repaired }: UndoneRepair): string {
  if (repaired === null) return `${path}: the repair had changed nothing, and is forgotten`
  return changed ? `${path} is what it was before it was repaired on ${repaired}` : `${path} was what it had been`
}

/** Lost ranges that are listed. --json has more. */
const MAX_RANGES = 20

function reportText(report: RepairReport): string {
  const { path, outcome, undo, steps, findings, left } = report
  const problems = left.filter(({ severity }) => severity !== 'note')
  return [
    ...steps.map(({ code, fate, message }) => `${fate.padEnd(7)}  ${message} [${code}]`),
    ...lostText(report),
    ...findings.map(({ code, message }) => `warning  ${message} [${code}]`),
    ...problems.map(({ code, message, advice }) => `left     ${message}. ${advice} [${code}]`),
    ...(undo === null
      ? []
      : [`${undo} has what was changed: --undo goes back. Delete it when the image is as it should be`]),
    `${path}: ${OUTCOMES[outcome]}${problems.length > 0 ? ', but for what is left' : ''}`,
  ].join('\n')
}

const OUTCOMES: Readonly<Record<RepairReport['outcome'], string>> = {
  sound: 'there is nothing to repair',
  repaired: 'repaired',
  finished: 'the repair that was cut off before has been finished',
  planned: 'can be repaired; nothing was changed',
}

function salvagedText(report: SalvageReport): string {
  const { target, outcome, steps, unread, findings, bytesRead, bytesWritten } = report
  const size = formatSize(bytesWritten)
  const more = unread.ranges.length - MAX_RANGES
  return [
    ...steps.map(({ code, fate, message }) => `${fate.padEnd(7)}  ${message} [${code}]`),
    ...lostText(report),
    ...(unread.bytes === 0 ? [] : [`lost     ${formatSize(unread.bytes)} of the disk that the medium does not give:`]),
    ...unread.ranges
      .slice(0, MAX_RANGES)
      .map(({ offset, length }) => `           ${formatSize(length)} at byte ${offset}`),
    ...(more > 0 ? [`           and ${more} more`] : []),
    ...findings.map(({ code, message }) => `warning  ${message} [${code}]`),
    outcome === 'planned'
      ? `${target} would have ${size} at most; nothing was written`
      : `${target} is complete: ${formatSize(bytesRead)} read, ${size} written`,
  ].join('\n')
}

function lostText({ lost }: Pick<RepairReport, 'lost'>): string[] {
  if (lost.bytes === 0) return []
  const more = lost.ranges.length - MAX_RANGES
  return [
    `lost     ${formatSize(lost.bytes)} of the disk:`,
    ...lost.ranges.slice(0, MAX_RANGES).map(({ offset, length, reason, fileOffset }) => {
      const place = fileOffset === null ? '' : `, which may still lie at byte ${fileOffset} of the file`
      return `           ${formatSize(length)} at byte ${offset}${place} [${reason}]`
    }),
    ...(more > 0 || lost.truncated
      ? [`           and more: --json lists ${lost.truncated ? 'the first' : 'all'} ${lost.ranges.length}`]
      : []),
  ]
}
