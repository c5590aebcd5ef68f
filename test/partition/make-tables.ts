/** Partition tables of any shape, sound and unsound, for tests. */
import { crc32, crc32Without } from '../../lib/binary/crc32.ts'
import { NIL_GUID } from '../../lib/binary/guid.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import {
  bootRecord,
  type GptEntry,
  type GptHeader,
  gptEntry,
  gptHeader,
  type MbrEntry,
} from '../../lib/partition/format.ts'

export const DISK_GUID = '11111111-2222-3333-4444-555555555555'
export const LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4'

/** A slot of an MBR or EBR; what is not told is zero. */
export type Slot = Partial<Omit<MbrEntry, 'firstChs' | 'lastChs'>>

/** The bytes of an MBR or an EBR. */
export function bootSectorOf(slots: readonly Slot[], diskSignature = 0x1a2b3c4d): Buffer {
  const chs = Buffer.from([0xfe, 0xff, 0xff])
  const empty = { status: 0, type: 0, firstLba: 0, sectorCount: 0, firstChs: chs, lastChs: chs }
  const entries = [0, 1, 2, 3].map(slot => ({ ...empty, ...slots[slot] }))
  return bootRecord.toBuffer({
    bootCode: Buffer.alloc(440),
    diskSignature,
    unknown: 0,
    entries,
    signature: undefined,
  } as Parameters<typeof bootRecord.toBuffer>[0])
}

export interface GptPlan {
  readonly sectorSize?: number
  readonly entrySize?: number
  readonly entryCount?: number
  /** Slot → partition; first and last LBA. */
  readonly partitions?: Readonly<Record<number, Partial<GptEntry> & { firstLba: number; lastLba: number }>>
  /** What the headers say instead of the truth. Checksums are made for it. */
  readonly header?: Partial<GptHeader>
  /** Slots of the MBR beside the protective one. */
  readonly mbr?: readonly Slot[]
}

/** Where the parts of a GPT made by `writeGpt` lie, in bytes. */
export interface GptPlaces {
  readonly primary: number
  readonly primaryEntries: number
  readonly backup: number
  readonly backupEntries: number
  readonly entriesLength: number
}

/** Writes MBR and both copies of a GPT to `disk`. */
export async function writeGpt(disk: BlockDevice, plan: GptPlan = {}): Promise<GptPlaces> {
  const { sectorSize = disk.sectorSize, entrySize = 128, entryCount = 128, partitions = {}, mbr = [] } = plan
  const lastLba = Math.floor(disk.size / sectorSize) - 1
  const entrySectors = Math.ceil((entrySize * entryCount) / sectorSize)
  const entries = Buffer.alloc(entrySize * entryCount)
  for (const [slot, partition] of Object.entries(partitions)) {
    const unnamed = {
      typeGuid: LINUX,
      partitionGuid: NIL_GUID.replace(/0000$/, slot.padStart(4, '0')),
      attributes: 0n,
      name: Buffer.alloc(72),
    }
    gptEntry.encode({ ...unnamed, ...partition }, entries, Number(slot) * entrySize)
  }
  const header = (myLba: number, alternateLba: number, entriesLba: number): Buffer => {
    const sector = Buffer.alloc(sectorSize)
    const fields = {
      revision: 0x10000,
      headerSize: gptHeader.size,
      headerChecksum: 0,
      myLba,
      alternateLba,
      firstUsableLba: 2 + entrySectors,
      lastUsableLba: lastLba - entrySectors - 1,
      diskGuid: DISK_GUID,
      entriesLba,
      entryCount,
      entrySize,
      entriesChecksum: crc32(entries),
    }
    gptHeader.encode({ ...fields, ...plan.header } as GptHeader & { signature: undefined; reserved: undefined }, sector)
    const { headerSize } = { ...fields, ...plan.header }
    if (headerSize <= sectorSize) sector.writeUInt32LE(crc32Without(sector.subarray(0, headerSize), 16), 16)
    return sector
  }
  const backupEntriesLba = lastLba - entrySectors
  const size = Math.min(lastLba, 2 ** 32 - 1)
  await disk.write(0, bootSectorOf([{ type: 0xee, firstLba: 1, sectorCount: size }, ...mbr], 0))
  await disk.write(sectorSize, header(1, lastLba, 2))
  await disk.write(2 * sectorSize, entries)
  await disk.write(backupEntriesLba * sectorSize, entries)
  await disk.write(lastLba * sectorSize, header(lastLba, 1, backupEntriesLba))
  return {
    primary: sectorSize,
    primaryEntries: 2 * sectorSize,
    backup: lastLba * sectorSize,
    backupEntries: backupEntriesLba * sectorSize,
    entriesLength: entries.length,
  }
}
