/** The Master File Table: every file record of the volume. spec-notes/ntfs.md, $MFT. */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { FormatError, formatError, StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { appendExtent } from './attribute.ts'
import { readAttributeList } from './attribute-list.ts'
import { AttributeReader } from './attribute-reader.ts'
import type { Geometry } from './boot-sector.ts'
import { decodeFileRecord, type FileRecord, unnamed } from './file-record.ts'
import { applyFixup } from './fixup.ts'
import { AttributeType, type FileReference, RecordFlag, SystemRecord } from './format.ts'

/** Bytes of $MFT that a scan reads at once, and holds twice. */
const PIECE_SIZE = 2 * MiB
/** Bytes of records that are kept decoded. */
const CACHE_SIZE = 2 * MiB
/** `FILE` and `BAAD`, little-endian. */
const FILE_MAGIC = 0x454c4946
const BAAD_MAGIC = 0x44414142

/** Whole records of $MFT, one after another. Belongs to the scan: use it before the next one is asked for. */
export interface MftPiece {
  /** Number of the first record. */
  readonly first: number
  readonly records: Buffer
}

/** The records of a volume. Open it with `Mft.open`. */
export class Mft {
  readonly volume: BlockDevice
  readonly geometry: Geometry
  /** Records that can be read, in use or not. */
  readonly recordCount: number
  /** Whether they are all that there are. */
  readonly complete: boolean
  readonly #content: AttributeReader
  readonly #findings: Finding[]
  readonly #cache = new Map<number, FileRecord>()
  readonly #mirrored = new Set<number>()

  private constructor(volume: BlockDevice, geometry: Geometry, content: AttributeReader, findings: Finding[]) {
    this.volume = volume
    this.geometry = geometry
    this.#content = content
    this.#findings = findings
    const { recordSize, clusterSize } = geometry
    const [mapped, size] = [content.runs!.end * clusterSize, content.initializedSize]
    this.recordCount = Math.floor(Math.min(mapped, size) / recordSize)
    this.complete = mapped >= size
  }

  /**
   * Finds all of $MFT, from the cluster that the boot sector names. What was wrong but did not stop it is added to
   * `findings`, here and later. Throws FormatError when neither $MFT's own record nor its copy in $MFTMirr is good.
   */
  static async open(volume: BlockDevice, geometry: Geometry, findings: Finding[]): Promise<Mft> {
    const { mftLcn, clusterSize } = geometry
    let base: FileRecord
    try {
      base = await readMftRecord(volume, geometry, mftLcn * clusterSize)
    } catch (error) {
      if (!isDamage(error)) throw error
      base = await readMftRecord(volume, geometry, mirrorPosition(geometry, SystemRecord.mft)).catch(() => {
        throw error
      })
      findings.push(mirrorUsed(SystemRecord.mft, error))
    }
    const content = new AttributeReader(volume, geometry, [unnamed(base, AttributeType.data)!])
    const list = unnamed(base, AttributeType.attributeList)
    try {
      if (list !== undefined) await appendExtensions(geometry, content, await extensionsOf(list))
    } catch (error) {
      if (!isDamage(error)) throw error
      findings.push({
        code: 'NTFS_MFT_INCOMPLETE',
        message: `only the first ${content.runs!.end * clusterSize} bytes of $MFT's ${content.size} were found: ${error.message}`,
      })
    }
    return new Mft(volume, geometry, content, findings)

    async function extensionsOf(attribute: NonNullable<typeof list>) {
      const entries = await readAttributeList(volume, geometry, attribute)
      const data = entries.filter(({ type, name }) => type === AttributeType.data && name === '')
      return data.filter(entry => entry.lowestVcn > 0).sort((a, b) => a.lowestVcn - b.lowestVcn)
    }
  }

  /**
   * The record that `reference` names, which must be in use; from $MFTMirr where it is damaged and has a copy there.
   * Throws FormatError: NTFS_STALE_REFERENCE for a record that is free, gone or another's now, and what decoding throws.
   */
  async record({ record: number, sequence }: FileReference): Promise<FileRecord> {
    const record = number < this.recordCount ? await this.#cached(number) : undefined
    if (record?.inUse && (sequence === 0 || sequence === record.sequence)) return record
    const found = record === undefined ? 'beyond the end of $MFT' : record.inUse ? 'another file now' : 'free'
    throw new FormatError(
      'NTFS_STALE_REFERENCE',
      `file record ${number} with sequence ${sequence} is asked for, but it is ${found}`,
      { record: number, sequence },
    )
  }

  async #cached(number: number): Promise<FileRecord> {
    const record = this.#cache.get(number) ?? (await this.#load(number))
    // Deleted and set again, it is the youngest; the oldest is the map's first.
    this.#cache.delete(number)
    this.#cache.set(number, record)
    if (this.#cache.size * this.geometry.recordSize > CACHE_SIZE) this.#cache.delete(this.#cache.keys().next().value!)
    return record
  }

  async #load(number: number): Promise<FileRecord> {
    const { recordSize } = this.geometry
    const offset = number * recordSize
    try {
      const bytes = Buffer.alloc(recordSize)
      await this.#content.read(offset, bytes)
      return decodeFileRecord(bytes, number, this.#content.positionOf(offset) ?? 0)
    } catch (error) {
      if (!isDamage(error) || !this.isMirrored(number)) throw error
      const copy = await readRecordAt(this.volume, this.geometry, number, mirrorPosition(this.geometry, number))
      if (!this.#mirrored.has(number)) this.#findings.push(mirrorUsed(number, error))
      this.#mirrored.add(number)
      return copy
    }
  }

  /** Whether $MFTMirr holds a copy of record `number`. */
  isMirrored(number: number): boolean {
    const { clusterSize, recordSize } = this.geometry
    return number < Math.max(4, clusterSize / recordSize)
  }

  /**
   * All records from first to last, piece by piece, the next piece being read while one is looked at. A record that the
   * medium does not give comes as one with magic `BAAD`.
   */
  async *pieces(signal?: AbortSignal): AsyncGenerator<MftPiece, void> {
    const perPiece = PIECE_SIZE / this.geometry.recordSize
    const buffers = [Buffer.alloc(PIECE_SIZE), Buffer.alloc(PIECE_SIZE)] as const
    const read = async (first: number, buffer: Buffer): Promise<MftPiece | Error> => {
      const count = Math.max(0, Math.min(perPiece, this.recordCount - first))
      const records = buffer.subarray(0, count * this.geometry.recordSize)
      try {
        await this.#readRecords(first, records)
      } catch (error) {
        return error as Error
      }
      return { first, records }
    }
    let next = read(0, buffers[0])
    for (let first = 0, turn = 1; first < this.recordCount; first += perPiece, turn = 1 - turn) {
      signal?.throwIfAborted()
      const piece = await next
      if (piece instanceof Error) throw piece
      next = read(first + perPiece, buffers[turn]!)
      yield piece
    }
  }

  async #readRecords(first: number, records: Buffer): Promise<void> {
    const { recordSize } = this.geometry
    try {
      await this.#content.read(first * recordSize, records)
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      if (records.length > recordSize) {
        for (let i = 0; i * recordSize < records.length; i++) {
          await this.#readRecords(first + i, records.subarray(i * recordSize, (i + 1) * recordSize))
        }
      } else {
        records.writeUInt32LE(BAAD_MAGIC, 0)
        records.writeUInt16LE(RecordFlag.inUse, 0x16)
      }
    }
  }
}

/**
 * Where in `piece` each record that is in use begins, with its update sequence put back in place. What was in use and is
 * damaged is told to `onDamage` instead. A record that is not in use may hold anything, and is passed over.
 */
export function* recordsInUse(
  { first, records }: MftPiece,
  recordSize: number,
  onDamage: (record: number, problem: string) => void,
): Iterable<number> {
  for (let at = 0; at < records.length; at += recordSize) {
    const magic = records.readUInt32LE(at)
    if ((magic !== FILE_MAGIC && magic !== BAAD_MAGIC) || (records[at + 0x16]! & RecordFlag.inUse) === 0) continue
    const problem = magic === BAAD_MAGIC ? 'unreadable' : applyFixup(records, at, recordSize)
    if (problem === undefined) yield at
    else onDamage(first + at / recordSize, problem)
  }
}

async function appendExtensions(
  geometry: Geometry,
  content: AttributeReader,
  entries: Awaited<ReturnType<typeof readAttributeList>>,
): Promise<void> {
  const { recordSize, clusterSize, clusterCount } = geometry
  for (const { reference, lowestVcn } of entries) {
    const offset = reference.record * recordSize
    // $MFT describes itself: each extension record must lie in what those before it describe.
    if (offset + recordSize > content.runs!.end * clusterSize) {
      throw new FormatError(
        'NTFS_MFT_INCOMPLETE',
        `its extension record ${reference.record} lies in a part not found yet`,
      )
    }
    const bytes = Buffer.alloc(recordSize)
    await content.read(offset, bytes)
    const record = decodeFileRecord(bytes, reference.record, content.positionOf(offset) ?? 0)
    const extent = record.attributes.find(
      attribute =>
        !attribute.resident &&
        attribute.type === AttributeType.data &&
        attribute.name === '' &&
        attribute.lowestVcn === lowestVcn,
    )
    if (!record.inUse || record.base?.record !== SystemRecord.mft || extent === undefined || extent.resident) {
      throw new FormatError('NTFS_MFT_INCOMPLETE', `record ${reference.record} is no extension of $MFT`)
    }
    appendExtent(content.runs!, extent, clusterCount)
  }
}

/** The record at byte `position` of the volume. */
async function readRecordAt(volume: BlockDevice, { recordSize }: Geometry, number: number, position: number) {
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

/** Record 0 at byte `position`, seen to be that of $MFT. */
async function readMftRecord(volume: BlockDevice, geometry: Geometry, position: number): Promise<FileRecord> {
  const record = await readRecordAt(volume, geometry, SystemRecord.mft, position)
  const data = unnamed(record, AttributeType.data)
  if (record.inUse && record.base === undefined && data?.resident === false && data.lowestVcn === 0) return record
  throw formatError('NTFS_FILE_RECORD', {
    structure: 'NTFS file record 0',
    position,
    expected: "$MFT's, in use and with clusters",
    actual: 'another',
  })
}

const mirrorPosition = ({ mftMirrLcn, clusterSize, recordSize }: Geometry, number: number) =>
  mftMirrLcn * clusterSize + number * recordSize

const mirrorUsed = (number: number, error: Error): Finding => ({
  code: 'NTFS_MFT_MIRROR_USED',
  message: `record ${number} of $MFT is damaged, its copy in $MFTMirr was used: ${error.message}`,
  details: { record: number },
})

/** Whether something is wrong with the disk or what is on it, and not with the program. */
const isDamage = (error: unknown): error is FormatError | StorageError =>
  error instanceof FormatError || error instanceof StorageError
