/** Repairs of images in memory, and what their disks hold before and after. */
import { MiB } from '../../lib/binary/size.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { intersect, type Range } from '../../lib/device/ranges.ts'
import { DiskImageError, UnsupportedError } from '../../lib/errors.ts'
import { UndoFile } from '../../lib/undo/undo-file.ts'
import { writeUndoFile } from '../../lib/undo/undo-writer.ts'
import type { RepairChoices } from '../../lib/vhdx/repair-headers.ts'
import { planRepair, type RepairPlan } from '../../lib/vhdx/repair-plan.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'

export interface Repaired {
  readonly plan: RepairPlan
  readonly content: Buffer
  readonly undo: MemoryDevice
}

/** Plans the repair of `original` and writes its undo file. Throws UnsupportedError for a file of more than `maxSize` bytes. */
export async function prepareRepair(
  original: Buffer,
  choices: RepairChoices = {},
  maxSize = 2 ** 30,
): Promise<Omit<Repaired, 'content'>> {
  const before = new MemoryDevice(original, { readOnly: true })
  const plan = await planRepair(before, choices)
  if (plan.repaired.size > maxSize) throw new UnsupportedError('TOO_LARGE', `it would have ${plan.repaired.size} bytes`)
  const undo = new MemoryDevice(0, { growable: true })
  await writeUndoFile(undo, { before, after: plan.repaired, stages: plan.stages }, { report: Buffer.from('{}') })
  return { plan, undo }
}

/** Repairs a copy of `original`. */
export async function repair(original: Buffer, choices: RepairChoices = {}, maxSize?: number): Promise<Repaired> {
  const { plan, undo } = await prepareRepair(original, choices, maxSize)
  const file = new MemoryDevice(Buffer.from(original))
  await (await UndoFile.open(undo))!.redo(file)
  return { plan, content: file.content, undo }
}

/** What goes back makes of `content`. */
export async function takenBack({ content, undo }: Repaired): Promise<Buffer> {
  const file = new MemoryDevice(Buffer.from(content))
  await (await UndoFile.open(undo))!.undo(file)
  return file.content
}

/** Bytes that are read at once. */
const STRETCH = 64 * 1024

/** The disk in `content`, stretch by stretch; undefined for those that cannot be read, or for all of them. */
export async function readable(content: Buffer, parent?: BlockDevice): Promise<(Buffer | undefined)[]> {
  try {
    const disk = await VhdxDevice.open(new MemoryDevice(content, { readOnly: true }), { parent })
    const count = Math.ceil(Math.min(disk.size, 16 * MiB) / STRETCH)
    return await Promise.all(
      Array.from({ length: count }, async (_, n) => {
        const bytes = Buffer.alloc(Math.min(STRETCH, disk.size - n * STRETCH))
        return (await opened(() => disk.read(n * STRETCH, bytes))) && bytes
      }),
    )
  } catch (error) {
    if (error instanceof DiskImageError) return []
    throw error
  }
}

async function opened(read: () => Promise<void>): Promise<true | undefined> {
  try {
    await read()
    return true
  } catch (error) {
    if (error instanceof DiskImageError) return undefined
    throw error
  }
}

/** The stretches that could be read before, and have other bytes or none now, though they are not among `lost`. */
export function differences(
  before: readonly (Buffer | undefined)[],
  after: readonly (Buffer | undefined)[],
  lost: readonly Range[] = [],
): number[] {
  return before.flatMap((bytes, n) => {
    const stretch = { offset: n * STRETCH, length: STRETCH }
    if (bytes === undefined || lost.some(range => intersect(range, stretch) !== undefined)) return []
    return after[n]?.equals(bytes) ? [] : [n]
  })
}

/** The stretches that can be read now and could not before, without being told lost. */
export function newlyReadable(
  before: readonly (Buffer | undefined)[],
  after: readonly (Buffer | undefined)[],
  lost: readonly Range[],
): number[] {
  return after.flatMap((bytes, n) => {
    const stretch = { offset: n * STRETCH, length: STRETCH }
    const isLost = lost.some(range => intersect(range, stretch) !== undefined)
    return bytes !== undefined && before[n] === undefined && !isLost ? [n] : []
  })
}
