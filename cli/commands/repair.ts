import {
  formatSize,
  OptionError,
  type RepairReport,
  repairImage,
  type UndoneRepair,
  undoRepair,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { Output } from '../output.ts'
import { Progress } from '../progress.ts'
import { packageVersion } from '../version.ts'

export default defineCommand({
  command: 'repair <image>',
  describe: 'Put a damaged VHDX right, in place',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A VHDX' })
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
      .options(outputOptions)
      .example('$0 repair sda.vhdx', 'Exit 0: as it was, and clean. 3: something is lost, or left. 4: still damaged')
      .example('$0 repair sda.vhdx --undo', 'Every byte is again what it was')
      .epilogue(
        'What changes is first copied to IMAGE-undo. A repair that was cut off is finished by the next one. What can be read before can be read afterwards; blocks that cannot are lost, are listed, and are undefined from then on.',
      ),
  handler: async args => {
    const output = new Output(args)
    const progress = new Progress(output)
    const options = { tool: { name: 'vhdx', version: packageVersion() }, log: args.log, header: args.header }
    const running = <T>(work: (signal: AbortSignal) => Promise<T>) =>
      interruptible(output, undefined, signal => work(signal).finally(() => progress.stop()))
    const onProgress = (report: Parameters<Progress['report']>[0]) => progress.report(report)
    if (args.undo) {
      if (args.dryRun) throw new OptionError('USAGE', '--undo and --dry-run do not go together')
      const undone = await running(signal => undoRepair(args.image, { ...options, onProgress, signal }))
      await output.result(undone, () => undoneText(undone))
      return ExitCode.done
    }
    const { dryRun } = args
    const report = await running(signal => repairImage(args.image, { ...options, dryRun, onProgress, signal }))
    await output.result(report, () => reportText(report))
    return exitCodeOf(report)
  },
})

function exitCodeOf({ lost, left, findings, steps }: RepairReport): ExitCode {
  if (left.some(({ severity }) => severity === 'error')) return ExitCode.damaged
  const isWhole = lost.bytes === 0 && findings.length === 0 && steps.every(({ fate }) => fate === 'mended')
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

function lostText({ lost }: RepairReport): string[] {
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
