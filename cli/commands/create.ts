import { type CreatedImage, createImage, formatSize, OptionError, parseSize } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { facts, Output } from '../output.ts'
import { Progress } from '../progress.ts'
import { packageVersion } from '../version.ts'

export default defineCommand({
  command: 'create <image>',
  describe: 'Make an empty VHDX',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'The file to write' })
      .option('size', {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'Size of the disk in it: 64GiB, 500GB',
      })
      .option('block-size', {
        type: 'string',
        requiresArg: true,
        default: 'auto',
        describe: 'Size of a block, 1MiB to 256MiB; auto: 1MiB up to 2 TiB, then doubling',
      })
      .option('logical-sector-size', { choices: [512, 4096], default: 512, describe: 'What the disk counts in' })
      .option('physical-sector-size', { choices: [512, 4096], default: 4096, describe: 'What the disk stores in' })
      .option('fixed', { type: 'boolean', default: false, describe: 'Write every block now, as zeros' })
      .option('id', {
        type: 'string',
        requiresArg: true,
        describe: 'The disk identity (SCSI page 83), a GUID; random unless given',
      })
      .option('force', { type: 'boolean', default: false, describe: 'Replace a file that is there' })
      .options(outputOptions)
      .example('$0 create a.vhdx --size 64GiB', 'A dynamic disk; the file grows as it is used')
      .example('$0 create a.vhdx --size 20GiB --fixed', 'All 20 GiB are written now'),
  handler: async args => {
    const output = new Output(args)
    const options = {
      virtualSize: parseSize(args.size),
      ...(args.blockSize !== 'auto' && { blockSize: parseSize(args.blockSize, 'block size') }),
      logicalSectorSize: args.logicalSectorSize,
      physicalSectorSize: args.physicalSectorSize,
      ...(args.id !== undefined && { virtualDiskId: parseId(args.id) }),
      fixed: args.fixed,
      force: args.force,
      creator: `vhdx ${packageVersion()}`,
    }
    const progress = new Progress(output)
    const created = await interruptible(output, args.image, signal =>
      createImage(args.image, { ...options, signal, onProgress: report => progress.report(report) }),
    ).finally(() => progress.stop())
    for (const finding of created.findings) output.warn(finding)
    await output.result({ ...describe(created), warnings: created.findings }, () => text(created))
    return ExitCode.done
  },
})

/** GUIDs are written with and without braces, in either case. */
function parseId(text: string): string {
  const match = /^\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?$/.exec(text.toLowerCase())
  if (match !== null) return match[1]!
  throw new OptionError('BAD_DISK_ID', `--id '${text}' is not a GUID such as 788015f0-5e93-4bd2-a5de-b0cd8459db11`)
}

function describe(created: CreatedImage) {
  const { path, fixed, virtualSize, blockSize, logicalSectorSize, physicalSectorSize, virtualDiskId, fileSize } =
    created
  const type = fixed ? 'fixed' : 'dynamic'
  return {
    path,
    format: 'vhdx',
    type,
    virtualSize,
    blockSize,
    logicalSectorSize,
    physicalSectorSize,
    virtualDiskId,
    fileSize,
  }
}

function text(created: CreatedImage): string {
  const { path, type, virtualSize, blockSize, logicalSectorSize, physicalSectorSize, virtualDiskId, fileSize } =
    describe(created)
  return facts([
    ['image', `${path}, ${type}, empty`],
    ['disk', `${formatSize(virtualSize)} (${virtualSize} bytes)`],
    ['file', `${formatSize(fileSize)} (${fileSize} bytes)`],
    ['sectors', `${logicalSectorSize} bytes logical, ${physicalSectorSize} physical`],
    ['blocks', formatSize(blockSize)],
    ['disk id', virtualDiskId],
  ])
}
