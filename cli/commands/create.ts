import {
  type CreateChildOptions,
  type CreatedImage,
  createChild,
  createImage,
  formatSize,
  OptionError,
  parseSize,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { facts, Output } from '../output.ts'
import { Progress } from '../progress.ts'
import { packageVersion } from '../version.ts'

export default defineCommand({
  command: 'create <image>',
  describe: 'Make an empty VHDX, or a child of another one',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'The file to write' })
      .option('size', {
        type: 'string',
        requiresArg: true,
        describe: 'Size of the disk in it: 64GiB, 500GB; a child has at least that of its parent, which is its default',
      })
      .option('parent', {
        type: 'string',
        requiresArg: true,
        describe: 'Make a differencing image: the disk in this VHDX, of which the new file holds what is changed',
      })
      .option('search', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'A folder in which the parents of the parent may be',
      })
      .option('block-size', {
        type: 'string',
        requiresArg: true,
        describe: "Size of a block, 1MiB to 256MiB. Default: 1MiB up to 2 TiB, then doubling; the parent's for a child",
      })
      .option('logical-sector-size', {
        choices: [512, 4096],
        describe: 'What the disk counts in: 512, or as the parent',
      })
      .option('physical-sector-size', {
        choices: [512, 4096],
        describe: 'What the disk stores in: 4096, or as the parent',
      })
      .option('fixed', { type: 'boolean', default: false, describe: 'Write every block now, as zeros' })
      .option('id', {
        type: 'string',
        requiresArg: true,
        describe: 'The disk identity (SCSI page 83), a GUID: random unless given; that of the parent for a child',
      })
      .option('force', { type: 'boolean', default: false, describe: 'Replace a file that is there' })
      .options(outputOptions)
      .example('$0 create a.vhdx --size 64GiB', 'A dynamic disk; the file grows as it is used')
      .example('$0 create a.vhdx --size 20GiB --fixed', 'All 20 GiB are written now')
      .example(
        '$0 create monday.avhdx --parent base.vhdx',
        'What is changed from now on; base.vhdx has to stay as it is',
      ),
  lists: ['search'],
  handler: async args => {
    const output = new Output(args)
    const progress = new Progress(output)
    const created = await interruptible(output, args.image, signal =>
      create(args, { signal, onProgress: report => progress.report(report) }),
    ).finally(() => progress.stop())
    for (const finding of created.findings) output.warn(finding)
    await output.result({ ...describe(created), warnings: created.findings }, () => text(created))
    return ExitCode.done
  },
})

/** What the command line gives. */
interface CreateArguments {
  readonly image: string
  readonly size: string | undefined
  readonly parent: string | undefined
  readonly search: string[] | undefined
  readonly blockSize: string | undefined
  readonly logicalSectorSize: number | undefined
  readonly physicalSectorSize: number | undefined
  readonly id: string | undefined
  readonly fixed: boolean
  readonly force: boolean
}

function create(
  args: CreateArguments,
  control: Pick<CreateChildOptions, 'signal' | 'onProgress'>,
): Promise<CreatedImage> {
  const { image, parent, search, fixed, force, logicalSectorSize, physicalSectorSize } = args
  const options = {
    ...(args.blockSize !== undefined &&
      args.blockSize !== 'auto' && { blockSize: parseSize(args.blockSize, 'block size') }),
    ...(logicalSectorSize !== undefined && { logicalSectorSize }),
    ...(physicalSectorSize !== undefined && { physicalSectorSize }),
    ...(args.id !== undefined && { virtualDiskId: parseId(args.id) }),
    fixed,
    force,
    creator: `vhdx ${packageVersion()}`,
    ...control,
  }
  const size = args.size === undefined ? undefined : { virtualSize: parseSize(args.size) }
  if (parent !== undefined) return createChild(image, parent, { ...options, ...size, ...(search && { search }) })
  if (size === undefined)
    throw new OptionError('USAGE', 'say how large the disk is (--size), or whose child it is (--parent)')
  return createImage(image, { ...options, ...size })
}

/** GUIDs are written with and without braces, in either case. */
function parseId(text: string): string {
  const match = /^\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?$/.exec(text.toLowerCase())
  if (match !== null) return match[1]!
  throw new OptionError('BAD_DISK_ID', `--id '${text}' is not a GUID such as 788015f0-5e93-4bd2-a5de-b0cd8459db11`)
}

function describe(created: CreatedImage) {
  const {
    path,
    fixed,
    parent,
    virtualSize,
    blockSize,
    logicalSectorSize,
    physicalSectorSize,
    virtualDiskId,
    fileSize,
  } = created
  const ownType = fixed ? 'fixed' : 'dynamic'
  const type = parent === undefined ? ownType : 'differencing'
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
    parent: parent === undefined ? null : { id: parent.image.dataWriteGuid, paths: parent.paths },
  }
}

function text(created: CreatedImage): string {
  const { path, type, virtualSize, blockSize, logicalSectorSize, physicalSectorSize, virtualDiskId, fileSize, parent } =
    describe(created)
  return facts([
    ['image', `${path}, ${type}, empty`],
    ['disk', `${formatSize(virtualSize)} (${virtualSize} bytes)`],
    ['file', `${formatSize(fileSize)} (${fileSize} bytes)`],
    ['sectors', `${logicalSectorSize} bytes logical, ${physicalSectorSize} physical`],
    ['blocks', formatSize(blockSize)],
    ['disk id', virtualDiskId],
    ['parent', parent === null ? undefined : Object.values(parent.paths).join(' or ')],
  ])
}
