/** Where in a sound NTFS volume its structures are. Update sequences are taken away already. */
import {
  AttributeType,
  attributeHeader,
  attributeListEntry,
  attributeSizes,
  bootSector,
  fileNameHeader,
  fileRecordHeader,
  indexBlockHeader,
  indexEntryHeader,
  indexNodeHeader,
  indexRootHeader,
  nonResidentHeader,
  residentHeader,
  restartArea,
  restartPageHeader,
  volumeInformation,
} from '../../../lib/ntfs/format.ts'
import { RunCursor } from '../../../lib/ntfs/run-list.ts'
import { bytesPlace, structurePlace, tablePlace } from '../places.ts'
import type { Place } from '../target.ts'
import type { Protected } from './ntfs.ts'

/** How much of the content of a packed or special file is of interest. */
const HEAD = 256

export function ntfsPlaces(content: Buffer, records: readonly Protected[]): Place[] {
  const walker = new Walker(content)
  walker.boot()
  for (const record of records) walker.record(record)
  return walker.places
}

class Walker {
  readonly places: Place[] = []
  readonly #content: Buffer
  readonly #clusterSize: number
  readonly #clusterCount: number

  constructor(content: Buffer) {
    this.#content = content
    const { bytesPerSector, sectorsPerCluster, totalSectors } = bootSector.decode(content)
    this.#clusterSize = bytesPerSector * sectorsPerCluster
    this.#clusterCount = totalSectors / sectorsPerCluster
  }

  boot(): void {
    this.places.push(structurePlace(bootSector, 0), structurePlace(bootSector, this.#content.length - bootSector.size))
  }

  record({ magic, offset, length }: Protected): void {
    if (magic === 'FILE') this.#fileRecord(offset)
    if (magic === 'INDX') {
      this.places.push(structurePlace(indexBlockHeader, offset))
      this.#node(offset + indexBlockHeader.size, offset + length)
    }
    if (magic === 'RSTR') {
      this.places.push(structurePlace(restartPageHeader, offset))
      const { restartOffset } = restartPageHeader.decode(this.#content, offset)
      this.places.push(structurePlace(restartArea, offset + restartOffset))
    }
  }

  #fileRecord(record: number): void {
    const content = this.#content
    const { attributesOffset, bytesUsed, flags } = fileRecordHeader.decode(content, record)
    this.places.push({ ...structurePlace(fileRecordHeader, record), length: 1024 })
    if (flags === 0) return
    for (let at = record + attributesOffset; at < record + bytesUsed - 8; ) {
      const { type, length, nonResident, nameLength, nameOffset } = attributeHeader.decode(content, at)
      const place = { ...structurePlace(attributeHeader, at), length }
      if (nameLength > 0)
        this.places.push(bytesPlace('attribute name', { offset: at + nameOffset, length: 2 * nameLength }))
      const rest = at + attributeHeader.size
      if (nonResident === 0) {
        this.places.push({ ...place, fields: [...place.fields, ...structurePlace(residentHeader, rest).fields] })
        const { valueLength, valueOffset } = residentHeader.decode(content, rest)
        if (valueLength > 0) this.#value(type, at + valueOffset, valueLength)
      } else {
        const sizes = structurePlace(attributeSizes, rest + nonResidentHeader.size)
        const fields = [...structurePlace(nonResidentHeader, rest).fields, ...sizes.fields]
        this.places.push({ ...place, kind: `${place.kind}, non-resident`, fields: [...place.fields, ...fields] })
        this.#runs(type, at, at + length)
      }
      at += length
    }
  }

  #value(type: number, offset: number, length: number): void {
    const { places } = this
    const end = offset + length
    switch (type) {
      case AttributeType.fileName:
        places.push(structurePlace(fileNameHeader, offset))
        places.push(
          bytesPlace('file name', { offset: offset + fileNameHeader.size, length: length - fileNameHeader.size }),
        )
        break
      case AttributeType.attributeList:
        this.#attributeList(offset, end)
        break
      case AttributeType.volumeInformation:
        places.push(structurePlace(volumeInformation, offset))
        break
      case AttributeType.indexRoot:
        places.push(structurePlace(indexRootHeader, offset))
        this.#node(offset + indexRootHeader.size, end)
        break
      case AttributeType.standardInformation:
      case AttributeType.reparsePoint:
        places.push(tablePlace(`value of attribute ${type}`, offset, Math.floor(length / 4), 4))
        break
      default:
        places.push(bytesPlace(`value of attribute ${type}`, { offset, length }))
    }
  }

  #attributeList(offset: number, end: number): void {
    for (let at = offset; at + attributeListEntry.size <= end; at += this.#content.readUInt16LE(at + 4)) {
      this.places.push(structurePlace(attributeListEntry, at))
    }
  }

  /** An index node with its entries, up to `end`. Only those of directories have names in them. */
  #node(node: number, end: number): void {
    const content = this.#content
    this.places.push(structurePlace(indexNodeHeader, node))
    for (let at = node + content.readUInt32LE(node); at + indexEntryHeader.size <= end; ) {
      const { length, keyLength, flags } = indexEntryHeader.decode(content, at)
      const entry = { ...structurePlace(indexEntryHeader, at), length }
      this.places.push(entry)
      const key = at + indexEntryHeader.size
      if (keyLength > fileNameHeader.size) this.places.push(structurePlace(fileNameHeader, key))
      if ((flags & 1) !== 0) this.places.push(tablePlace('VCN of a sub-node', at + length - 8, 1, 8))
      if ((flags & 2) !== 0 || length === 0) return
      at += length
    }
  }

  /** The runlist of the attribute from `at` to `end`, and the start of its content where a reader makes something of that. */
  #runs(type: number, at: number, end: number): void {
    const content = this.#content
    const { runListOffset, compressionUnit, lowestVcn } = nonResidentHeader.decode(content, at + attributeHeader.size)
    const list = at + runListOffset
    this.places.push(bytesPlace('runlist', { offset: list, length: Math.min(end - list, 16) }))
    const cursor = new RunCursor(this.#clusterCount)
    cursor.begin(content, list, end, lowestVcn)
    while (cursor.next()) {
      if (cursor.lcn < 0) continue
      const offset = cursor.lcn * this.#clusterSize
      if (type === AttributeType.attributeList) this.#attributeList(offset, offset + HEAD)
      else if (compressionUnit > 0) this.places.push(bytesPlace('packed content', { offset, length: HEAD }))
      else if (type === AttributeType.data) this.places.push(tablePlace('content', offset, HEAD / 4, 4))
      else if (type !== AttributeType.indexAllocation)
        this.places.push(bytesPlace(`content of ${type}`, { offset, length: HEAD }))
    }
  }
}
