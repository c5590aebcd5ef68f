/** Where $MFT lies, which only $MFT itself tells. spec-notes/ntfs.md, $MFT. */
import type { BlockDevice } from '../device/block-device.ts'
import { FormatError, formatError, isDamage } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type Attribute, type AttributeExtent, appendExtent, isCompressed, isEncrypted } from './attribute.ts'
import { type AttributeListEntry, readAttributeList } from './attribute-list.ts'
import { AttributeReader } from './attribute-reader.ts'
import type { Geometry } from './boot-sector.ts'
import { decodeFileRecord, type FileRecord, unnamed } from './file-record.ts'
import { AttributeType, SystemRecord } from './format.ts'

/**
 * The content of $MFT: found by its own record in the cluster that the boot sector names, or by that record's copy in
 * $MFTMirr. Extension records of $MFT lie in $MFT, in the part that those before them describe. What was wrong but did
 * not stop it is added to `findings`; the runs then may end before the content does.
 * Throws FormatError when neither record is good.
 */
export async function openMftContent(
  volume: BlockDevice,
  geometry: Geometry,
  findings: Finding[],
): Promise<AttributeReader> {
  const { base, content } = await readBase(volume, geometry, findings)
  const list = unnamed(base, AttributeType.attributeList)
  let why = 'its record tells of no more'
  try {
    if (list !== undefined) await appendExtensions(volume, geometry, content, list)
  } catch (error) {
    if (!isDamage(error)) throw error
    why = error.message
  }
  const found = content.runs!.end * geometry.clusterSize
  if (found < content.initializedSize) {
    findings.push({
      code: 'NTFS_MFT_INCOMPLETE',
      message: `only ${found} of the ${content.initializedSize} bytes of $MFT were found: ${why}`,
      details: { found, size: content.initializedSize },
    })
  }
  return content
}

/** Reads record `number` from byte `position` of the volume. Throws FormatError. */
export async function readRecordAt(
  volume: BlockDevice,
  { recordSize }: Geometry,
  number: number,
  position: number,
): Promise<FileRecord> {
  if (position + recordSize > volume.size) {
    throw formatError('NTFS_FILE_RECORD', {
      structure: `NTFS file record ${number}`,
      position,
      expected: `before the end of the volume at byte ${volume.size}`,
      actual: 'beyond it',
    })
  }
  const bytes = Buffer.alloc(recordSize)
  await volume.read(position, bytes)
  return decodeFileRecord(bytes, number, position)
}

/** Where the copy of record `number` lies, if there is one. */
export const mirrorPosition = ({ mftMirrLcn, clusterSize, recordSize }: Geometry, number: number) =>
  mftMirrLcn * clusterSize + number * recordSize

/** Adds to `findings`, once, that record `number` is read from its copy. */
export function reportMirrorUsed(findings: Finding[], number: number, error: Error): void {
  const code = 'NTFS_MFT_MIRROR_USED'
  if (findings.some(finding => finding.code === code && finding.details?.record === number)) return
  const message = `record ${number} of $MFT is damaged, its copy in $MFTMirr was used: ${error.message}`
  findings.push({ code, message, details: { record: number } })
}

/** The base record of $MFT, and as much of the content as it describes. */
interface Base {
  readonly base: FileRecord
  readonly content: AttributeReader
}

async function readBase(volume: BlockDevice, geometry: Geometry, findings: Finding[]): Promise<Base> {
  const position = geometry.mftLcn * geometry.clusterSize
  try {
    const found = await readBaseAt(volume, geometry, position)
    checkBase(found.content.positionOf(0) === position, position, 'itself the first of $MFT', 'another')
    return found
  } catch (error) {
    if (!isDamage(error)) throw error
    const copy = await readBaseAt(volume, geometry, mirrorPosition(geometry, SystemRecord.mft)).catch(() => {
      throw error
    })
    reportMirrorUsed(findings, SystemRecord.mft, error)
    return copy
  }
}

async function readBaseAt(volume: BlockDevice, geometry: Geometry, position: number): Promise<Base> {
  const base = await readRecordAt(volume, geometry, SystemRecord.mft, position)
  const data = unnamed(base, AttributeType.data)
  const isBase = base.inUse && base.base === undefined
  const isWhole = data?.resident === false && data.lowestVcn === 0 && !isCompressed(data) && !isEncrypted(data)
  checkBase(isBase && isWhole, position, "$MFT's, in use", 'another')
  return { base, content: new AttributeReader(volume, geometry, [data!]) }
}

function checkBase(holds: boolean, position: number, expected: string, actual: string): void {
  if (!holds) throw formatError('NTFS_FILE_RECORD', { structure: 'NTFS file record 0', position, expected, actual })
}

async function appendExtensions(
  volume: BlockDevice,
  geometry: Geometry,
  content: AttributeReader,
  list: Attribute,
): Promise<void> {
  const entries = await readAttributeList(volume, geometry, list)
  const extensions = entries.filter(
    ({ type, name, lowestVcn }) => type === AttributeType.data && name === '' && lowestVcn > 0,
  )
  for (const entry of extensions.sort((a, b) => a.lowestVcn - b.lowestVcn)) {
    appendExtent(content.runs!, await readExtension(geometry, content, entry), geometry.clusterCount)
  }
}

async function readExtension(
  { recordSize, clusterSize }: Geometry,
  content: AttributeReader,
  { reference, lowestVcn }: AttributeListEntry,
): Promise<AttributeExtent> {
  const number = reference.record
  const offset = number * recordSize
  if (offset + recordSize > Math.min(content.runs!.end * clusterSize, content.size)) {
    throw new FormatError('NTFS_MFT_INCOMPLETE', `its extension record ${number} lies in a part not found before it`)
  }
  const bytes = Buffer.alloc(recordSize)
  await content.read(offset, bytes)
  const record = decodeFileRecord(bytes, number, content.positionOf(offset) ?? 0)
  for (const attribute of record.attributes) {
    const isData = attribute.type === AttributeType.data && attribute.name === '' && !attribute.resident
    const isOurs = record.inUse && record.base?.record === SystemRecord.mft
    if (isOurs && isData && attribute.lowestVcn === lowestVcn) return attribute
  }
  throw new FormatError('NTFS_MFT_INCOMPLETE', `record ${number} is not its extension from VCN ${lowestVcn}`)
}
