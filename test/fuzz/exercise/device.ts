/** Reads a device in several ways, which have to agree. */
import type { BlockDevice } from '../../../lib/device/block-device.ts'
import { endOf } from '../../../lib/device/ranges.ts'
import type { Observer } from '../observer.ts'

const CHUNK = 64 * 1024

/** How many bytes to read at most of what a hostile header may say is of any size. */
export const READ_BUDGET = 512 * 1024

/**
 * Reads the beginning of everything that may be data, up to `budget` bytes, its end, and pieces of it again. Returns how
 * much it read. The device has to say the same each time, and zeros where it says that there is no data.
 */
export async function exerciseDevice(device: BlockDevice, observer: Observer, budget = READ_BUDGET): Promise<number> {
  const { size } = device
  observer.note(size)
  observer.claim(Number.isSafeInteger(size) && size >= 0, `a device of ${size} bytes`)
  let done = 0
  let gap = 0
  await observer.attempt(async () => {
    for await (const range of observer.inOrder(device.dataRanges(), size)) {
      await claimZeros(device, gap, range.offset, observer)
      for (let at = range.offset; at < endOf(range) && done < budget; at += CHUNK) {
        const chunk = Buffer.alloc(Math.min(CHUNK, endOf(range) - at))
        await readTwice(device, at, chunk, observer)
        done += chunk.length
      }
      gap = endOf(range)
      if (done >= budget) return
    }
    await claimZeros(device, gap, size, observer)
  })
  if (size > 0) await observer.attempt(() => readTwice(device, size - 1, Buffer.alloc(1), observer))
  return done
}

/** All of the chunk at once, then a part of it that begins and ends at odd places. */
async function readTwice(device: BlockDevice, offset: number, chunk: Buffer, observer: Observer): Promise<void> {
  chunk.fill(0xa5)
  await device.read(offset, chunk)
  observer.note(offset, chunk)
  const [from, to] = [Math.floor(chunk.length / 3), Math.ceil((chunk.length * 5) / 6)]
  const part = Buffer.alloc(to - from, 0x5a)
  await device.read(offset + from, part)
  observer.claim(
    part.equals(chunk.subarray(from, to)),
    `bytes ${offset + from} to ${offset + to} differ when read alone`,
  )
}

/** Looks at the start and the end of what lies from `from` to `to`. */
async function claimZeros(device: BlockDevice, from: number, to: number, observer: Observer): Promise<void> {
  const length = Math.min(to - from, 512)
  if (length <= 0) return
  for (const offset of [from, to - length]) {
    const bytes = Buffer.alloc(length, 0xa5)
    await device.read(offset, bytes)
    observer.claim(
      bytes.every(byte => byte === 0),
      `no data is said to be at ${offset}, but bytes there are not zero`,
    )
  }
}
