import { formatSize, type NewSize, OptionError, parseSize, type ResizeReport, resizeImage } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { Output } from '../output.ts'
import { Progress } from '../progress.ts'
import { parentOptions, parentOptionsOf } from '../volume-options.ts'

export default defineCommand({
  command: 'resize <image>',
  describe: 'Give the disk in a VHDX another size, with its partition table',
  builder: yargs =>
    yargs
      .positional('image', {
        type: 'string',
        demandOption: true,
        describe: 'A VHDX; it is changed itself, and whole at every moment',
      })
      .option('size', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'The new size: 80GiB, +10GiB for so much more, or min for the smallest there can be',
      })
      .options(parentOptions)
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'Although it has children, which do not fit it any more then',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'Say what would be done, and change nothing' })
      .options(outputOptions)
      .example('$0 resize sda.vhdx --size +10GiB', 'Then extend a partition into it, in the system on the disk')
      .example('$0 resize sda.vhdx --size min --dry-run', 'How small it can be')
      .epilogue(
        'A disk shrinks to the end of its last partition, or of its volume, and not further. File systems keep their sizes.',
      ),
  lists: ['search'],
  handler: async args => {
    const output = new Output(args)
    const progress = new Progress(output)
    const { image, force, dryRun } = args
    const report = await interruptible(output, { leftAs }, signal =>
      resizeImage(image, parseNewSize(args.size), {
        ...parentOptionsOf(args),
        force,
        dryRun,
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

const leftAs = 'the disk has the size it had, or the new one: the same command finishes what was begun'

function parseNewSize(text: string): NewSize {
  const given = text.trim()
  if (given === 'min') return 'smallest'
  if (given.startsWith('-')) {
    throw new OptionError('BAD_SIZE', `--size '${given}' is not clear: write the size that the disk is to have, or min`)
  }
  return given.startsWith('+') ? { by: parseSize(given.slice(1)) } : { to: parseSize(given) }
}

function text(report: ResizeReport): string {
  const { path, sizeBefore, size, smallestSize, usedEnd, fileSizeBefore, fileSize, dryRun } = report
  const [is, has] = dryRun ? ['would be', 'would have'] : ['is', 'has']
  const was = size === sizeBefore ? 'as before' : `it had ${formatSize(sizeBefore, 3)}`
  const file = fileSize === fileSizeBefore ? '' : `, the file ${formatSize(fileSize)} (${formatSize(fileSizeBefore)})`
  return [
    `${path}: the disk ${has} ${formatSize(size, 3)} (${size} bytes), ${was}${file}`,
    ...(report.tableMoves && report.partitionTable === 'gpt' ? [`the backup of the GPT ${is} at its end`] : []),
    ...(usedEnd > 0
      ? [
          `in use up to byte ${usedEnd}: ${formatSize(Math.max(0, size - usedEnd))} behind that, ${smallestSize} bytes are the least`,
        ]
      : []),
  ].join('\n')
}
