/** What rebase and relink have in common: options, and how they say what was done. */
import { formatSize, type RebaseOptions, type RebaseReport, rebaseImage } from '../lib/index.ts'
import { ExitCode } from './exit-code.ts'
import { interruptible } from './interrupt.ts'
import { Output } from './output.ts'
import { Progress } from './progress.ts'

/** For yargs. */
export const rebaseOptions = {
  parent: { type: 'string', demandOption: true, requiresArg: true, describe: 'The VHDX that is to be its parent' },
  search: {
    type: 'string',
    array: true,
    requiresArg: true,
    describe: 'A folder in which the parent that it has now may be, and other parents',
  },
  'dry-run': { type: 'boolean', default: false, describe: 'Compare, say what would be done, and change nothing' },
} as const

interface RebaseArguments {
  readonly image: string
  readonly parent: string
  readonly search: readonly string[] | undefined
  readonly dryRun: boolean
  readonly json: boolean
  readonly quiet: boolean
}

/** Runs `rebaseImage` and prints its report. */
export async function runRebase(args: RebaseArguments, options: RebaseOptions): Promise<ExitCode> {
  const output = new Output(args)
  const progress = new Progress(output)
  const { dryRun, search } = args
  const report = await interruptible(output, { leftAs: `${args.image} has the parent it had` }, signal =>
    rebaseImage(args.image, args.parent, {
      ...options,
      ...(search && { search }),
      dryRun,
      signal,
      onProgress: report => progress.report(report),
    }),
  ).finally(() => progress.stop())
  const { findings, ...facts } = report
  for (const finding of findings) output.warn(finding)
  await output.result({ ...facts, warnings: findings }, () => reportText(report))
  return findings.length > 0 ? ExitCode.problems : ExitCode.done
}

function reportText({ path, parent, sameParent, comparedBytes, copiedBytes, dryRun }: RebaseReport): string {
  const [is, are] = dryRun ? ['would be', 'would be'] : ['is', 'were']
  if (sameParent) return `${path}: its parent ${is} found at ${parent}`
  const compared = comparedBytes > 0 ? `: ${formatSize(comparedBytes)} compared` : ''
  const copied = copiedBytes > 0 ? `, ${formatSize(copiedBytes)} ${are} copied from the old one` : ''
  return `${path}: its parent ${is} ${parent}${compared}${copied}`
}
