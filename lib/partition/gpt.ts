/** The GUID partition table: two copies of a header and an array of entries. spec-notes/partition-tables.md, "GPT". */
import { crc32, crc32Without } from '../binary/crc32.ts'
import { NIL_GUID } from '../binary/guid.ts'
import type { BlockDevice } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import { type DiskImageError, FormatError, formatError, hex, StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type GptHeader, gptEntry, gptHeader } from './format.ts'
import type { TableEntry } from './partition.ts'

/** Bytes of entries: 8192 of the usual 128. Every system makes 128 of them; the bound keeps a forged count from allocating. */
const MAX_ENTRIES_LENGTH = 1024 * 1024
/** Where an entry array lies when its header cannot say: beside the header, in 16 KiB (UEFI 5.3.1). */
const USUAL_ENTRIES_LENGTH = 16 * 1024

export interface Gpt {
  readonly sectorSize: number
  readonly diskId: string
  readonly entries: readonly TableEntry[]
  /** Where both copies lie. */
  readonly tables: readonly Range[]
  /** LBA of the sector the table takes for the disk's last. */
  readonly endLba: number
  /** The first copy is damaged, all this is from the second. */
  readonly fromBackup: boolean
  /** LBA 1 can be read and does not even begin as a GPT header: somebody wrote something else there. */
  readonly hasLostStart: boolean
  readonly findings: readonly Finding[]
}

/** A header and its entries as far as they can be believed. */
interface Copy {
  readonly lba: number
  readonly header?: GptHeader
  readonly entries?: Buffer
  readonly problem?: DiskImageError
}
type GoodCopy = Required<Omit<Copy, 'problem'>>

/**
 * Reads the GPT of `disk`, counting in the first of `sectorSizes` that finds a good copy. A damaged primary is replaced
 * by its backup, with a finding. Returns what is wrong with the primary when there is no good copy at all.
 */
export async function readGpt(disk: BlockDevice, sectorSizes: readonly number[]): Promise<Gpt | DiskImageError> {
  let problem: DiskImageError | undefined
  for (const sectorSize of sectorSizes) {
    const lastLba = Math.floor(disk.size / sectorSize) - 1
    const primary = await readCopy(disk, sectorSize, 1)
    const backup = await readBackup(disk, sectorSize, primary, lastLba)
    const good = isGood(primary) ? primary : isGood(backup) ? backup : undefined
    if (good !== undefined) return assemble(sectorSize, lastLba, primary, backup, good)
    if (problem === undefined || primary.header !== undefined) problem = primary.problem
  }
  return problem!
}

const isGood = (copy: Copy): copy is GoodCopy => copy.entries !== undefined

async function readBackup(disk: BlockDevice, sectorSize: number, primary: Copy, lastLba: number): Promise<Copy> {
  const alternate = primary.header?.alternateLba ?? lastLba
  const backup = await readCopy(disk, sectorSize, alternate)
  return isGood(backup) || alternate === lastLba ? backup : readCopy(disk, sectorSize, lastLba)
}

/** Reads the copy whose header is at `lba`. What is wrong with it, or unreadable, goes to `problem`. */
async function readCopy(disk: BlockDevice, sectorSize: number, lba: number): Promise<Copy> {
  let header: GptHeader | undefined
  try {
    header = await readHeader(disk, sectorSize, lba)
    return { lba, header, entries: await readEntries(disk, sectorSize, header) }
  } catch (problem) {
    const isGone = problem instanceof StorageError && problem.code === 'DEVICE_GONE'
    if (isGone || !(problem instanceof FormatError || problem instanceof StorageError)) throw problem
    return header === undefined ? { lba, problem } : { lba, header, problem }
  }
}

async function readHeader(disk: BlockDevice, sectorSize: number, lba: number): Promise<GptHeader> {
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
  return header
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

function assemble(sectorSize: number, lastLba: number, primary: Copy, backup: Copy, good: GoodCopy): Gpt {
  const { diskGuid, alternateLba, myLba, entriesLba, entryCount, entrySize } = good.header
  const findings: Finding[] = []
  const entries: TableEntry[] = []
  for (let slot = 0; slot < entryCount; slot++) {
    const offset = slot * entrySize
    const entry = readEntry(good.entries, offset, slot + 1, entriesLba * sectorSize + offset)
    if (entry === undefined) continue
    if (entry.sectorCount > 0) entries.push(entry)
    else findings.push(reversedEntry(entry))
  }
  return {
    sectorSize,
    diskId: diskGuid,
    entries,
    tables: [primary, backup].flatMap(copy => rangesOf(copy, sectorSize, lastLba)),
    endLba: Math.max(alternateLba, myLba, good.header.lastUsableLba),
    fromBackup: good !== primary,
    hasLostStart: primary.problem?.code === 'BAD_CONSTANT',
    findings: [...copyFindings(primary, backup, lastLba), ...findings],
  }
}

function readEntry(array: Buffer, offset: number, number: number, position: number): TableEntry | undefined {
  const entry = gptEntry.decode(array.subarray(offset, offset + gptEntry.size), 0, position)
  if (entry.typeGuid === NIL_GUID) return undefined
  const name = entry.name.toString('utf16le').replace(/\0.*$/s, '')
  return {
    number,
    firstLba: entry.firstLba,
    sectorCount: Math.max(entry.lastLba + 1 - entry.firstLba, 0),
    position,
    typeId: entry.typeGuid,
    id: entry.partitionGuid,
    ...(name === '' ? {} : { name }),
    attributes: entry.attributes,
  }
}

/** Header sector and entries of a copy; of one that is damaged, where they usually lie. */
function rangesOf(copy: Copy, sectorSize: number, lastLba: number): Range[] {
  if (copy.lba > lastLba) return []
  const header = { offset: copy.lba * sectorSize, length: sectorSize }
  if (isGood(copy)) {
    const { entriesLba, entryCount, entrySize } = copy.header
    return [header, { offset: entriesLba * sectorSize, length: entryCount * entrySize }]
  }
  const usual = copy.lba === 1 ? header.offset + header.length : header.offset - USUAL_ENTRIES_LENGTH
  return usual < 0 ? [header] : [header, { offset: usual, length: USUAL_ENTRIES_LENGTH }]
}

function copyFindings(primary: Copy, backup: Copy, lastLba: number): Finding[] {
  const findings: Finding[] = []
  const add = (code: string, message: string, details: Record<string, unknown> = {}) =>
    findings.push({ code, message, details })
  if (!isGood(primary)) {
    add('GPT_PRIMARY_DAMAGED', `the first GPT is damaged, its backup at LBA ${backup.lba} was used: ${why(primary)}`)
  } else if (!isGood(backup)) {
    add('GPT_BACKUP_DAMAGED', `the backup GPT is damaged, the first one was used: ${why(backup)}`)
  } else if (
    primary.header.diskGuid !== backup.header.diskGuid ||
    primary.header.entriesChecksum !== backup.header.entriesChecksum
  ) {
    add('GPT_COPIES_DIFFER', 'both copies of the GPT are whole, but they differ; the first one was used')
  }
  if (isGood(backup) && backup.lba < lastLba) {
    const [lba, last] = [backup.lba, lastLba]
    add('GPT_BACKUP_NOT_AT_END', `the backup GPT is at LBA ${lba}, the disk goes on to LBA ${last}`, { lba, last })
  }
  return findings
}

const why = (copy: Copy) => copy.problem!.message

const reversedEntry = ({ number, position, firstLba }: TableEntry): Finding => ({
  code: 'GPT_ENTRY_REVERSED',
  message: `partition ${number} in the GPT ends before it begins, at LBA ${firstLba} (entry at byte ${hex(position)}); it is ignored, its sectors are copied where they are not zero`,
  details: { number, position },
})
