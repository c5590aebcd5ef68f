/** GPT, with sectors of both sizes and with entries of another size, and one with an MBR that lists partitions of its own. */
import { crc32, crc32Without } from '../../../lib/binary/crc32.ts'
import { KiB } from '../../../lib/binary/size.ts'
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import { bootRecord, gptEntry, gptHeader, mbrEntry } from '../../../lib/partition/format.ts'
import { type GptPlaces, type GptPlan, writeGpt } from '../../partition/make-tables.ts'
import { exerciseDisk } from '../exercise/disk.ts'
import { structurePlace } from '../places.ts'
import type { Place, Seed, Target } from '../target.ts'

const MBR_ENTRIES = bootRecord.offsetOf('entries')

interface GptSeed extends Seed {
  readonly sectorSize: number
  readonly tables: GptPlaces
}

export const gpt: Target = {
  name: 'gpt',

  load: () =>
    Promise.all([
      seedOf('512', 512, {}),
      seedOf('4Kn', 4096, {}),
      seedOf('entries of 256 bytes', 512, { entrySize: 256, entryCount: 16 }),
      seedOf('hybrid', 512, { mbr: [{ type: 0x07, firstLba: 64, sectorCount: 32 }] }),
    ]),

  seal(content, seed) {
    const { tables } = seed as GptSeed
    sealTable(content, tables.primary, tables.primaryEntries)
    sealTable(content, tables.backup, tables.backupEntries)
  },

  async exercise(content, observer, seed) {
    const { sectorSize } = seed as GptSeed
    await exerciseDisk(new MemoryDevice(content, { readOnly: true, sectorSize }), observer)
  },
}

async function seedOf(name: string, sectorSize: number, plan: GptPlan): Promise<GptSeed> {
  const disk = new MemoryDevice((sectorSize === 512 ? 128 : 512) * KiB, { sectorSize })
  const partitions = {
    0: { firstLba: 40, lastLba: 63 },
    1: { firstLba: 64, lastLba: 95 },
    5: { firstLba: 96, lastLba: 97 },
  }
  const tables = await writeGpt(disk, { partitions, ...plan })
  const header = gptHeader.decode(disk.content, tables.primary)
  const entriesAt = (start: number): Place[] =>
    [0, 1, 2, 5].map(slot => structurePlace(gptEntry, start + slot * header.entrySize))
  const places = [
    ...[0, 1, 2, 3].map(slot => structurePlace(mbrEntry, MBR_ENTRIES + slot * mbrEntry.size)),
    structurePlace(gptHeader, tables.primary),
    structurePlace(gptHeader, tables.backup),
    ...entriesAt(tables.primaryEntries),
    ...entriesAt(tables.backupEntries),
  ]
  const guarded = [tables.primary, tables.backup].map(offset => ({ offset, length: gptHeader.size }))
  const arrays = [tables.primaryEntries, tables.backupEntries].map(offset => ({ offset, length: tables.entriesLength }))
  return { name, content: disk.content, places, guarded: [...guarded, ...arrays], sectorSize, tables }
}

/** The checksums of a header and of the entries, as many as it says where that many are there. */
function sealTable(content: Buffer, at: number, entriesAt: number): void {
  if (at + gptHeader.size > content.length) return
  const header = content.subarray(at)
  const length = header.readUInt32LE(80) * header.readUInt32LE(84)
  if (entriesAt + length <= content.length)
    header.writeUInt32LE(crc32(content.subarray(entriesAt, entriesAt + length)), 88)
  const size = header.readUInt32LE(12)
  if (size >= 20 && size <= header.length) header.writeUInt32LE(crc32Without(header.subarray(0, size), 16), 16)
}
