/** How every command about files is told which image and which of its volumes is meant, and how it opens them. */
import {
  type OpenDiskInsideOptions,
  type OpenedDiskInside,
  type OpenedFiles,
  openDiskInside,
  openFiles,
  type ParentOptions,
} from '../lib/index.ts'
import type { Output } from './output.ts'

/** For yargs: where the parents of a differencing image are. */
export const parentOptions = {
  parent: {
    type: 'string',
    requiresArg: true,
    describe: 'The parent of a differencing image, where it is not found by itself',
  },
  search: {
    type: 'string',
    array: true,
    requiresArg: true,
    describe: 'A folder to look for parents in',
  },
} as const

/** What `parentOptions` gives. */
interface ParentArguments {
  readonly parent?: string | undefined
  readonly search?: readonly string[] | undefined
}

/** The same as the library takes it. */
export const parentOptionsOf = ({ parent, search }: ParentArguments): ParentOptions => ({
  ...(parent === undefined ? {} : { parent }),
  ...(search === undefined ? {} : { search }),
})

/** For yargs: which disk is meant. */
export const diskOptions = {
  in: {
    type: 'string',
    array: true,
    requiresArg: true,
    describe:
      'An image inside the image, by its path there; 2:/path for partition 2. May be given again, for one inside that',
  },
  ...parentOptions,
  format: {
    choices: ['raw', 'vhdx', 'vhd'],
    requiresArg: true,
    describe: 'What the image is; default: found from its content. raw takes any file for the disk itself',
  },
} as const

/** For yargs: which volume of the disk is meant. */
export const volumeOptions = {
  partition: {
    type: 'number',
    requiresArg: true,
    describe: 'The partition, by number; default: the one with \\Windows, else the largest that can be read',
  },
  ...diskOptions,
} as const

/** The words for the positional `image`. */
export const imageArgument = {
  type: 'string',
  demandOption: true,
  describe: 'A VHDX, a VHD, a raw image, a disk or a bare volume',
} as const

/** What `imageArgument` and `diskOptions` give. */
export interface DiskArguments extends ParentArguments {
  readonly image: string
  readonly in?: readonly string[] | undefined
  readonly format?: 'raw' | 'vhdx' | 'vhd' | undefined
}

/** What `imageArgument` and `volumeOptions` give. */
export interface VolumeArguments extends DiskArguments {
  readonly partition?: number | undefined
}

/**
 * Opens the disk that the arguments mean. What is wrong with the image is said on stderr, once.
 * The caller closes it: `await using opened = await openDiskOf(args, output)`.
 */
export const openDiskOf = (args: DiskArguments, output: Output): Promise<OpenedDiskInside> =>
  remarked(output, openDiskInside(args.image, diskOptionsOf(args)))

/** As `openDiskOf`, and the files of one of its volumes: which one was taken is said, too. */
export const openFilesOf = (args: VolumeArguments, output: Output): Promise<OpenedFiles> =>
  remarked(output, openFiles(args.image, { partition: args.partition, ...diskOptionsOf(args) }))

const diskOptionsOf = ({ in: inside, format, ...parents }: DiskArguments): OpenDiskInsideOptions => ({
  inside,
  ...parentOptionsOf(parents),
  ...(format === undefined ? {} : { format }),
})

async function remarked<T extends Pick<OpenedDiskInside, 'notes' | 'findings'>>(output: Output, opening: Promise<T>) {
  const opened = await opening
  for (const message of opened.notes) output.remark({ code: 'VOLUME_CHOSEN', message }, 'note')
  for (const finding of opened.findings) output.remark(finding)
  return opened
}
