/** The copier: ranges in, blocks out, several windows in flight. */

import { alignedBuffer } from '../device/aligned-memory.ts'
import type { Range } from '../device/ranges.ts'
import type { Patch } from '../volume/volume.ts'
import type { BlockWriter } from './block-writer.ts'
import { type ContentHasher, isZero, UNIT } from './content-hash.ts'
import type { RescuingReader } from './rescuing-reader.ts'
import { readUsedWindow, type UsedWindow, usedWindows, WINDOW } from './used-windows.ts'

/** Windows in flight: enough for reading, hashing and writing to overlap, and 16 MiB of memory. */
const IN_FLIGHT = 4

export interface CopyJob {
  readonly reader: RescuingReader
  /** What to copy, from the start of the disk, in order. */
  readonly ranges: AsyncIterable<Range>
  /** Bytes of the disk as the image will have it. */
  readonly size: number
  readonly patches: readonly Patch[]
  readonly writer: BlockWriter
  /** What counts the content in as it passes, where it is to be hashed. */
  readonly hasher?: ContentHasher | undefined
  /** Called as windows are done, with the bytes of ranges in them. */
  readonly onProgress?: ((bytes: number) => void) | undefined
  /** Stops before the next window: the promise rejects with the signal's reason when all requests have settled. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Copies the used windows of a disk. Reads run ahead and in any order; hashing and writing begin in disk order.
 * Rejects with the first error, after every request has settled, so that the caller may close and delete.
 */
export async function copyWindows(job: CopyJob): Promise<void> {
  const slots = Array.from({ length: IN_FLIGHT }, () => ({
    buffer: alignedBuffer(WINDOW),
    busy: Promise.resolve() as Promise<unknown>,
  }))
  let turn: Promise<unknown> = Promise.resolve()
  let next = 0
  try {
    for await (const window of usedWindows(job.ranges, job.size)) {
      const slot = slots[next++ % IN_FLIGHT]!
      await slot.busy
      job.signal?.throwIfAborted()
      const stored = storeInTurn(job, window, readUsedWindow(job.reader, window, job.patches, slot.buffer), turn)
      turn = stored.begun
      slot.busy = stored.done
      // Awaited when the slot comes round again; until then a rejection is not unhandled.
      slot.busy.catch(() => {})
    }
    for (const slot of slots) await slot.busy
    job.signal?.throwIfAborted()
    await job.writer.finish()
  } finally {
    await Promise.allSettled(slots.map(slot => slot.busy))
  }
}

/** Hands a window on when it has been read and the one before has been handed on. */
function storeInTurn(job: CopyJob, window: UsedWindow, read: Promise<Buffer>, turn: Promise<unknown>) {
  const begun = Promise.all([read, turn]).then(async ([bytes]) => {
    const hashed = hashUnits(job.hasher, window.offset, bytes)
    // Awaited below, together with what the writer gives; a writer that throws must not leave it unhandled.
    hashed.catch(() => {})
    const { done } = await job.writer.write(window.offset, bytes)
    return { stored: Promise.all([hashed, done]) }
  })
  const done = begun
    .then(({ stored }) => stored)
    .then(() => job.onProgress?.(window.ranges.reduce((sum, range) => sum + range.length, 0)))
  // The slot is free when nothing touches its buffer any more, whatever has failed meanwhile.
  return { begun, done: Promise.allSettled([read, done]).then(() => done) }
}

async function hashUnits(hasher: ContentHasher | undefined, offset: number, bytes: Buffer): Promise<void> {
  if (hasher === undefined) return
  const hashed: Promise<void>[] = []
  for (let at = 0; at < bytes.length; at += UNIT) {
    const unit = bytes.subarray(at, at + UNIT)
    if (!isZero(unit)) hashed.push(hasher.add((offset + at) / UNIT, unit))
  }
  await Promise.all(hashed)
}
