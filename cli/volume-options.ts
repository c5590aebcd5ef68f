/** How every command about files is told which image and which of its volumes is meant, and how it opens them. */
import { type OpenedFiles, openFiles } from '../lib/index.ts'
import type { Output } from './output.ts'

/** For yargs: after the image itself, which is the first positional. */
export const volumeOptions = {
  partition: {
    type: 'number',
    requiresArg: true,
    describe: 'The partition, by number; default: the one with \\Windows, else the largest that can be read',
  },
  format: {
    choices: ['raw', 'vhdx'],
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
export interface VolumeArguments {
  readonly image: string
  readonly partition?: number | undefined
  readonly format?: 'raw' | 'vhdx' | undefined
}

/**
 * Opens the files that the arguments mean. Which volume was taken, and what is wrong with it, is said on stderr, once.
 * The caller closes it: `await using opened = await openFilesOf(args, output)`.
 */
export async function openFilesOf(args: VolumeArguments, output: Output): Promise<OpenedFiles> {
  const { image, partition, format } = args
  const opened = await openFiles(image, { partition, ...(format === undefined ? {} : { format }) })
  if (opened.note !== undefined) output.remark({ code: 'VOLUME_CHOSEN', message: opened.note }, 'note')
  for (const finding of opened.findings) output.remark(finding)
  return opened
}
