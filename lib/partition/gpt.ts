/** The GUID partition table: two copies of a header and an array of entries. spec-notes/partition-tables.md, "GPT". */
import { NIL_GUID } from '../binary/guid.ts'
import type { BlockDevice } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import { type DiskImageError, hex } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { gptEntry } from './format.ts'
import { type GoodCopy, type GptCopies, type GptCopy, goodCopy, isGood, readGptCopies } from './gpt-copy.ts'
import type { TableEntry } from './partition.ts'

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

/**
 * Reads the GPT of `disk`, counting in the first of `sectorSizes` that finds a good copy. A damaged primary is replaced
 * by its backup, with a finding. Returns what is wrong with the primary when there is no good copy at all.
 */
export async function readGpt(disk: BlockDevice, sectorSizes: readonly number[]): Promise<Gpt | DiskImageError> {
  let problem: DiskImageError | undefined
  for (const sectorSize of sectorSizes) {
    const copies = await readGptCopies(disk, sectorSize)
    const good = goodCopy(copies)
    if (good !== undefined) return assemble(copies, good)
    const { primary } = copies
    if (problem === undefined || primary.header !== undefined) problem = primary.problem
  }
  return problem!
}

function assemble({ sectorSize, lastLba, primary, backup }: GptCopies, good: GoodCopy): Gpt {
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
function rangesOf(copy: GptCopy, sectorSize: number, lastLba: number): Range[] {
  if (copy.lba > lastLba) return []
  const header = { offset: copy.lba * sectorSize, length: sectorSize }
  if (isGood(copy)) {
    const { entriesLba, entryCount, entrySize } = copy.header
    return [header, { offset: entriesLba * sectorSize, length: entryCount * entrySize }]
  }
  const usual = copy.lba === 1 ? header.offset + header.length : header.offset - USUAL_ENTRIES_LENGTH
  return usual < 0 ? [header] : [header, { offset: usual, length: USUAL_ENTRIES_LENGTH }]
}

function copyFindings(primary: GptCopy, backup: GptCopy, lastLba: number): Finding[] {
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

const why = (copy: GptCopy) => copy.problem!.message

const reversedEntry = ({ number, position, firstLba }: TableEntry): Finding => ({
  code: 'GPT_ENTRY_REVERSED',
  message: `partition ${number} in the GPT ends before it begins, at LBA ${firstLba} (entry at byte ${hex(position)}); it is ignored, its sectors are copied where they are not zero`,
  details: { number, position },
})
