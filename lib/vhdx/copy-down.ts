/** Making a differencing image the owner of what it takes from its parent, so that it can do without that. */
import { MiB } from '../binary/size.ts'
import type { Range } from '../device/ranges.ts'
import type { VhdxDevice } from './vhdx-device.ts'

/**
 * Makes what `disk` reads in `range` its own. The disk stays what it is: one that was opened with the `dataWriteGuid` that
 * it has goes on fitting its children. Rejects with the signal's reason.
 */
export async function copyDown(disk: VhdxDevice, range: Range, signal?: AbortSignal): Promise<void> {
  const { offset, length } = range
  const buffer = Buffer.allocUnsafe(Math.min(length, 4 * MiB))
  for (let done = 0; done < length; done += buffer.length) {
    signal?.throwIfAborted()
    const piece = buffer.subarray(0, length - done)
    await disk.read(offset + done, piece)
    await disk.write(offset + done, piece)
  }
}
