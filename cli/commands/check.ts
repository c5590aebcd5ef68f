import { type CheckResult, checkVhdx, demandVhdx, FileDevice, formatSize, type Problem } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { Output } from '../output.ts'

export default defineCommand({
  command: 'check <image>',
  describe: 'Whether a VHDX keeps every rule of its format',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A VHDX; it is only read' })
      .option('explain', {
        type: 'boolean',
        default: false,
        describe: 'With each problem: the section of the specification, what Windows answers, and what to do',
      })
      .options(outputOptions)
      .example('$0 check sda.vhdx', 'Exit 0: clean, 3: warnings, 4: damaged')
      .example('$0 check sda.vhdx --explain', 'What is wrong, and what to do about it')
      .example('$0 check child.avhdx', 'The child by itself; vhdx chain looks at its parents'),
  handler: async args => {
    const output = new Output(args)
    await using file = await FileDevice.open(args.image)
    await demandVhdx(file, args.image)
    const result = await checkVhdx(file, { allocatedBytes: await file.allocatedBytes() })
    await output.result({ ...result, image: { path: args.image, ...result.image } }, () =>
      text(args.image, result, args.explain),
    )
    if (result.summary.errors > 0) return ExitCode.damaged
    return result.summary.warnings > 0 ? ExitCode.problems : ExitCode.done
  },
})

function text(path: string, { image, problems, summary }: CheckResult, explain: boolean): string {
  const { type, virtualSize, blockSize } = image
  const known = type !== undefined && virtualSize !== undefined && blockSize !== undefined
  return [
    known ? `${path}: ${type}, ${formatSize(virtualSize)} in blocks of ${formatSize(blockSize)}` : path,
    ...problems.flatMap(problem => [problemLine(problem), ...(explain ? explanation(problem) : [])]),
    ...omitted(problems, summary),
    ...(known && summary.blocks === undefined ? ['The block allocation table could not be judged.'] : []),
    verdict(summary),
  ].join('\n')
}

const problemLine = ({ severity, code, message }: Problem) => `${severity.padEnd(7)}  ${message} [${code}]`

function explanation({ section, windows, advice }: Problem): string[] {
  const source = section === 'practice' ? 'not in the specification, known from practice' : `[MS-VHDX] ${section}`
  const lines = [`rule: ${source}`, ...(windows === undefined ? [] : [`Windows: ${windows}`]), `to do: ${advice}`]
  return lines.map(line => `         ${line}`)
}

/** Rules that were broken more often than they are listed. */
function omitted(problems: readonly Problem[], { counts }: CheckResult['summary']): string[] {
  return Object.entries(counts).flatMap(([code, count]) => {
    const more = count - problems.filter(problem => problem.code === code).length
    return more > 0 ? [`         and ${more} more [${code}]`] : []
  })
}

function verdict({ errors, warnings }: CheckResult['summary']): string {
  if (errors + warnings === 0) return 'clean: every rule is kept'
  const count = (n: number, word: string) => `${n} ${word}${n === 1 ? '' : 's'}`
  return `${errors > 0 ? 'damaged' : 'usable'}: ${count(errors, 'error')}, ${count(warnings, 'warning')}`
}
