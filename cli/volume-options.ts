/** How every command about files is told which image and which of its volumes is meant, and how it opens them. */
import { type OpenedFiles, openFiles, type ParentOptions } from '../lib/index.ts'
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

/** For yargs: after the image itself, which is the first positional. */
export const volumeOptions = {
  partition: {
    type: 'number',
    requiresArg: true,
    describe: 'The partition, by number; default: the one with \\Windows, else the largest that can be read',
  },
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

/** The words for the positional `image`. */
export const imageArgument = {
  type: 'string',
  demandOption: true,
  describe: 'A VHDX, a raw image, a disk or a bare volume',
} as const

/** What `volumeOptions` and `imageArgument` give. */
export interface VolumeArguments extends ParentArguments {
  readonly image: string
  readonly partition?: number | undefined
  readonly in?: readonly string[] | undefined
  readonly format?: 'raw' | 'vhdx' | 'vhd' | undefined
}

/**
 * Opens the files that the arguments mean. Which volume was taken, and what is wrong with it, is said on stderr, once.
 * The caller closes it: `await using opened = await openFilesOf(args, output)`.
 */
export async function openFilesOf(args: VolumeArguments, output: Output): Promise<OpenedFiles> {
  const { image, partition, in: inside, format } = args
  const opened = await openFiles(image, {
    partition,
    inside,
    ...parentOptionsOf(args),
    ...(format === undefined ? {} : { format }),
  })
  for (const message of opened.notes) output.remark({ code: 'VOLUME_CHOSEN', message }, 'note')
  for (const finding of opened.findings) output.remark(finding)
  return opened
}
