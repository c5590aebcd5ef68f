/** What the writer that is killed writes, step by step. */
import { MiB } from '../../lib/binary/size.ts'
import { pattern } from '../helpers/pattern.ts'

export interface Step {
  readonly offset: number
  /** Undefined for a MiB of zeros. */
  readonly bytes: Buffer | undefined
}

export function writtenBy(step: number, size: number): Step {
  const offset = ((step * 7) % (size / MiB)) * MiB
  if (step % 5 === 4) return { offset, bytes: undefined }
  return { offset, bytes: pattern(step % 3 === 0 ? 5000 : MiB, step) }
}

/** The disk after all steps before `end`. */
export function diskAfter(end: number, size: number): Buffer {
  const disk = Buffer.alloc(size)
  for (let step = 0; step < end; step++) {
    const { offset, bytes } = writtenBy(step, size)
    if (bytes === undefined) disk.fill(0, offset, offset + MiB)
    else bytes.copy(disk, offset)
  }
  return disk
}
