/** Each of the two copies of a GPT as far as it can be believed. spec-notes/partition-tables.md, "GPT". */
import { crc32, crc32Without } from '../binary/crc32.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { type DiskImageError, FormatError, formatError, hex, StorageError } from '../errors.ts'
import { type GptHeader, gptEntry, gptHeader } from './format.ts'

/** Bytes of entries: 8192 of the usual 128. Every system makes 128 of them; the bound keeps a forged count from allocating. */
const MAX_ENTRIES_LENGTH = 1024 * 1024

/** A header and its entries. What is undefined is damaged or could not be read, for the reason in `problem`. */
export interface GptCopy {
  readonly lba: number
  readonly header?: GptHeader
  /** The whole sector that the header is in. */
  readonly sector?: Buffer
  readonly entries?: Buffer
  readonly problem?: DiskImageError
}

/** A copy whose checksums are right. */
export type GoodCopy = Required<Omit<GptCopy, 'problem'>>

export const isGood = (copy: GptCopy): copy is GoodCopy => copy.entries !== undefined

/** Both copies. */
export interface GptCopies {
  readonly sectorSize: number
  /** LBA of the disk's last sector. */
  readonly lastLba: number
  readonly primary: GptCopy
  /** From where the first copy says, or else from the last sector. */
  readonly backup: GptCopy
}

/** Reads both copies from `disk`, of whose sectors of `sectorSize` bytes they count. Throws only for a disk that is gone. */
export async function readGptCopies(disk: BlockDevice, sectorSize: number): Promise<GptCopies> {
  const lastLba = Math.floor(disk.size / sectorSize) - 1
  const primary = await readCopy(disk, sectorSize, 1)
  return { sectorSize, lastLba, primary, backup: await readBackup(disk, sectorSize, primary, lastLba) }
}

/** The copy that counts: the first one where it is good. Undefined where neither is. */
export function goodCopy({ primary, backup }: GptCopies): GoodCopy | undefined {
  return isGood(primary) ? primary : isGood(backup) ? backup : undefined
}

async function readBackup(disk: BlockDevice, sectorSize: number, primary: GptCopy, lastLba: number): Promise<GptCopy> {
  const alternate = primary.header?.alternateLba ?? lastLba
  const backup = await readCopy(disk, sectorSize, alternate)
  return isGood(backup) || alternate === lastLba ? backup : readCopy(disk, sectorSize, lastLba)
}

/** Reads the copy whose header is at `lba`. What is wrong with it, or unreadable, goes to `problem`. */
async function readCopy(disk: BlockDevice, sectorSize: number, lba: number): Promise<GptCopy> {
  let head: Required<Pick<GptCopy, 'header' | 'sector'>> | undefined
  try {
    head = await readHeader(disk, sectorSize, lba)
    return { lba, ...head, entries: await readEntries(disk, sectorSize, head.header) }
  } catch (problem) {
    const isGone = problem instanceof StorageError && problem.code === 'DEVICE_GONE'
    if (isGone || !(problem instanceof FormatError || problem instanceof StorageError)) throw problem
    return { lba, ...head, problem }
  }
}

async function readHeader(disk: BlockDevice, sectorSize: number, lba: number) {
  const position = lba * sectorSize
  const structure = gptHeader.name
  if (lba < 1 || position + sectorSize > disk.size) {
    throw formatError('GPT_HEADER_BEYOND_END', {
      structure,
      position,
      expected: `inside the disk of ${disk.size} bytes`,
      actual: 'beyond its end',
    })
  }
  const sector = Buffer.alloc(sectorSize)
  await disk.read(position, sector)
  const header = gptHeader.decode(sector, 0, position)
  const check = (field: keyof GptHeader, holds: boolean, expected: string, actual: string) => {
    if (holds) return
    const at = position + gptHeader.offsetOf(field)
    throw formatError('GPT_HEADER_BAD', { structure, field, position: at, expected, actual })
  }
  const { headerSize, headerChecksum, myLba, entrySize, entryCount } = header
  check('headerSize', headerSize >= gptHeader.size && headerSize <= sectorSize, `92 to ${sectorSize}`, `${headerSize}`)
  const checksum = crc32Without(sector.subarray(0, headerSize), gptHeader.offsetOf('headerChecksum'))
  check('headerChecksum', checksum === headerChecksum, hex(checksum), hex(headerChecksum))
  check('myLba', myLba === lba, `${lba}`, `${myLba}`)
  check('entrySize', entrySize >= gptEntry.size && entrySize % 8 === 0, 'a multiple of 8, 128 or more', `${entrySize}`)
  const bound = Math.floor(MAX_ENTRIES_LENGTH / entrySize)
  check('entryCount', entryCount > 0 && entryCount <= bound, `1 to ${bound}`, `${entryCount}`)
  return { header, sector }
}

async function readEntries(disk: BlockDevice, sectorSize: number, header: GptHeader): Promise<Buffer> {
  const { entriesLba, entryCount, entrySize, entriesChecksum } = header
  const structure = 'GPT entry array'
  const position = entriesLba * sectorSize
  const entries = Buffer.alloc(entryCount * entrySize)
  if (entriesLba < 2 || position + entries.length > disk.size) {
    const expected = `from LBA 2 on and inside the disk of ${disk.size} bytes`
    throw formatError('GPT_ENTRIES_BEYOND_END', { structure, position, expected, actual: `at LBA ${entriesLba}` })
  }
  await disk.read(position, entries)
  const checksum = crc32(entries)
  if (checksum === entriesChecksum) return entries
  const [expected, actual] = [`an array with checksum ${hex(entriesChecksum)}`, `one with ${hex(checksum)}`]
  throw formatError('GPT_ENTRIES_BAD', { structure, position, expected, actual })
}
