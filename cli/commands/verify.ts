import { formatSize, OptionError, type VerifyReport, verifyImage } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { Output } from '../output.ts'
import { Progress } from '../progress.ts'

export default defineCommand({
  command: 'verify <image>',
  describe: 'Read an image back and compare it with the hashes of its capture, or with the disk',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A captured VHDX' })
      .option('sample', { type: 'string', requiresArg: true, describe: 'Check only a part, drawn at random: 1/20' })
      .option('against', {
        type: 'string',
        requiresArg: true,
        describe:
          'Compare with what a capture of this disk would copy now, with the options in the manifest (without one: the defaults)',
      })
      .conflicts('sample', 'against')
      .options(outputOptions)
      .example('$0 verify sda.vhdx', 'Everything')
      .example('$0 verify sda.vhdx --sample 1/20', 'A twentieth, another one each time')
      .example('$0 verify sda.vhdx --against /dev/sda', 'Beside the disk itself'),
  handler: async args => {
    const output = new Output(args)
    const sample = args.sample === undefined ? undefined : parseFraction(args.sample)
    const progress = new Progress(output)
    const report = await interruptible(output, undefined, signal =>
      verifyImage({
        image: args.image,
        sample,
        against: args.against,
        signal,
        onProgress: report => progress.report(report),
      }).finally(() => progress.stop()),
    )
    await output.result({ type: 'summary', ...report }, () => reportText(report, args.image, args.against))
    if (report.differences.length === 0 && report.readErrors.bytes === 0) return ExitCode.done
    return args.against === undefined ? ExitCode.damaged : ExitCode.problems
  },
})

function parseFraction(text: string): number {
  const match = /^(\d+)\/(\d+)$/.exec(text.trim())
  const value = match === null ? Number.NaN : Number(match[1]) / Number(match[2])
  if (value > 0 && value <= 1) return value
  throw new OptionError('BAD_SAMPLE', `'${text}' is no part of the whole. Write one such as 1/20`)
}

function reportText(report: VerifyReport, image: string, against?: string): string {
  const { bytesChecked, differences, differentBytes, readErrors } = report
  const [checked, other] = [`${formatSize(bytesChecked)} checked`, against ?? 'it was captured']
  return [
    differences.length === 0
      ? `${image} is as ${other}: ${checked}, no difference`
      : `${image} is NOT as ${other}: ${checked}, ${differentBytes} bytes in differing pieces:`,
    ...rangeLines(differences),
    ...(readErrors.bytes > 0 ? [`NOT compared, ${against} cannot be read there: ${readErrors.bytes} bytes:`] : []),
    ...rangeLines(readErrors.ranges),
  ].join('\n')
}

const rangeLines = (ranges: VerifyReport['differences']) => [
  ...ranges.slice(0, 20).map(({ offset, length }) => `  ${length} bytes at byte ${offset} of the disk`),
  ...(ranges.length > 20 ? [`  and ${ranges.length - 20} more`] : []),
]
