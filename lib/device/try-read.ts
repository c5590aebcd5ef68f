/** Reading what there is another way without: a structure with a copy, a sector that only helps to recognise something. */
import { StorageError } from '../errors.ts'
import type { ByteSource } from './block-device.ts'

/**
 * Fills `target` with the bytes at `offset` of `source`. Returns why where they cannot be read, and leaves zeros then.
 * Throws StorageError (DEVICE_GONE): nothing else can be read either.
 */
export async function tryRead(source: ByteSource, offset: number, target: Buffer): Promise<StorageError | undefined> {
  try {
    await source.read(offset, target)
    return undefined
  } catch (error) {
    if (!(error instanceof StorageError) || error.code === 'DEVICE_GONE') throw error
    target.fill(0)
    return error
  }
}
