/** NTFS: volumes of both cluster sizes with files of every kind, plain and packed in every way. */
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import { applyFixup } from '../../../lib/ntfs/fixup.ts'
import { exerciseCopy } from '../exercise/copy.ts'
import { exerciseVolume } from '../exercise/volume.ts'
import { unpackSeed } from '../seeds/packed.ts'
import type { Seed, Target } from '../target.ts'
import { ntfsPlaces } from './ntfs-places.ts'

const STRIDE = 512

/** A structure with an update sequence. */
export interface Protected {
  readonly magic: string
  readonly offset: number
  readonly length: number
}

interface NtfsSeed extends Seed {
  readonly records: readonly Protected[]
}

export const ntfs: Target = {
  name: 'ntfs',

  load: async () => ['ntfs-512', 'ntfs-4k'].map(seedOf),

  /** Update sequences: in a seed they are taken away, so that a change is what a reader sees of it. */
  seal(content, seed) {
    for (const { offset, length } of (seed as NtfsSeed).records) {
      if (offset + length <= content.length) protect(content.subarray(offset, offset + length))
    }
  },

  async exercise(content, observer) {
    await exerciseVolume(new MemoryDevice(content, { readOnly: true }), observer)
    await exerciseCopy(content, observer)
  },
}

function seedOf(name: string): NtfsSeed {
  const content = unpackSeed(name)
  const records = recordsIn(content)
  for (const { offset, length } of records) applyFixup(content, offset, length)
  return { name, content, places: ntfsPlaces(content, records), records }
}

const SIZES: Readonly<Record<string, number>> = { FILE: 1024, INDX: 4096, RSTR: 4096 }

/** Everything that says it is one, but for what is torn, which stays as it is. */
function recordsIn(content: Buffer): Protected[] {
  const records: Protected[] = []
  for (let offset = 0; offset < content.length; offset += STRIDE) {
    const magic = content.toString('latin1', offset, offset + 4)
    const length = SIZES[magic]
    if (length === undefined || offset + length > content.length) continue
    const copy = Buffer.from(content.subarray(offset, offset + length))
    if (applyFixup(copy, 0, length) === undefined) records.push({ magic, offset, length })
  }
  return records
}

/** The opposite of `applyFixup`, where the header leaves room for it. */
function protect(record: Buffer): void {
  const [offset, count] = [record.readUInt16LE(4), record.readUInt16LE(6)]
  if (offset < 8 || offset + 2 * count > STRIDE - 2) return
  for (let i = 1; i < count && i * STRIDE <= record.length; i++) {
    record.copy(record, offset + 2 * i, i * STRIDE - 2, i * STRIDE)
    record.copy(record, i * STRIDE - 2, offset, offset + 2)
  }
}
