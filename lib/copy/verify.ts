/** Whether an image still holds what was captured: by the hashes in its manifest, or beside the disk itself. */
import { NotFoundError } from '../errors.ts'
import { openDisk } from '../image/open-disk.ts'
import { compareWithDisk } from './compare-with-disk.ts'
import { readManifest } from './read-manifest.ts'
import { verifyHashes } from './verify-hashes.ts'
import type { VerifyReport } from './verify-report.ts'

/** What to verify, and against what. */
export interface VerifyOptions {
  readonly image: string
  /** The part of the grains to check, chosen at random: more than 0, at most 1. Default: everything. */
  readonly sample?: number | undefined
  /**
   * A disk to compare with, instead of the hashes. The image should be what a capture of it would be now, with the options
   * in its manifest; of an image without a manifest, with none. So free space that has data in the image is a difference.
   */
  readonly against?: string | undefined
  readonly onProgress?: ((report: { phase: string; done: number; total: number }) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Reads the image and compares. Throws NotFoundError (NO_MANIFEST) when it was not captured by this program and there is
 * nothing to compare with, and CHANGED_BY_MERGE when a child was merged into it since; FormatError (BAD_MANIFEST) when its manifest is damaged or that of a disk of another size;
 * OptionError (SIZE_DIFFERS, BAD_SAMPLE), and what opening and surveying throw.
 */
export async function verifyImage(options: VerifyOptions): Promise<VerifyReport> {
  await using image = await openDisk(options.image)
  const manifest = await readManifest(image.disk)
  if (options.against !== undefined) {
    await using source = await openDisk(options.against)
    return await compareWithDisk(image.disk, manifest, source.disk, options)
  }
  if (manifest === undefined) {
    throw new NotFoundError(
      'NO_MANIFEST',
      `${options.image} has no capture manifest, so there are no hashes to verify. Compare it with its disk (--against), or check its structure (vhdx check)`,
      { path: options.image },
    )
  }
  if (manifest.merged !== undefined) {
    throw new NotFoundError(
      'CHANGED_BY_MERGE',
      `${options.image} is not what was captured any more: on ${manifest.merged} what was changed since was merged into it, for which there are no hashes. Compare it with its disk (--against), or check its structure (vhdx check)`,
      { path: options.image, merged: manifest.merged },
    )
  }
  return await verifyHashes(image.disk, manifest, options)
}
