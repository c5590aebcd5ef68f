/** MBR: primaries, and a chain of logical partitions. */
import { KiB } from '../../../lib/binary/size.ts'
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import { bootRecord, mbrEntry } from '../../../lib/partition/format.ts'
import { bootSectorOf, type Slot } from '../../partition/make-tables.ts'
import { exerciseDisk } from '../exercise/disk.ts'
import { bytesPlace, structurePlace } from '../places.ts'
import type { Place, Seed, Target } from '../target.ts'

const SECTOR = 512
const ENTRIES = bootRecord.offsetOf('entries')

export const mbr: Target = {
  name: 'mbr',

  load: async () => [
    seedOf('primaries', {
      0: [
        { status: 0x80, type: 0x07, firstLba: 8, sectorCount: 16 },
        { type: 0x0c, firstLba: 24, sectorCount: 40 },
        {},
        { type: 0x27, firstLba: 64, sectorCount: 8 },
      ],
    }),
    seedOf('logical', {
      0: [
        { type: 0x07, firstLba: 1, sectorCount: 15 },
        { type: 0x0f, firstLba: 16, sectorCount: 100 },
      ],
      16: [
        { type: 0x07, firstLba: 4, sectorCount: 12 },
        { type: 0x05, firstLba: 20, sectorCount: 30 },
      ],
      36: [
        { type: 0x83, firstLba: 4, sectorCount: 8 },
        { type: 0x05, firstLba: 60, sectorCount: 20 },
      ],
      76: [{ type: 0x0b, firstLba: 2, sectorCount: 18 }],
    }),
  ],

  seal() {},

  async exercise(content, observer) {
    await exerciseDisk(new MemoryDevice(content, { readOnly: true }), observer)
  },
}

/** Boot records by their sector. */
function seedOf(name: string, records: Readonly<Record<number, readonly Slot[]>>): Seed {
  const content = Buffer.alloc(64 * KiB)
  const places: Place[] = []
  for (const [sector, slots] of Object.entries(records)) {
    const at = Number(sector) * SECTOR
    bootSectorOf(slots).copy(content, at)
    for (let slot = 0; slot < 4; slot++) places.push(structurePlace(mbrEntry, at + ENTRIES + slot * mbrEntry.size))
    places.push(bytesPlace('boot signature', { offset: at + 510, length: 2 }))
  }
  return { name, content, places }
}
