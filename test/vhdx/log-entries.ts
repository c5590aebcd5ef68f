/** Log entries, made by hand. */
import { crc32cWithout } from '../../lib/binary/crc32c.ts'
import { MiB } from '../../lib/binary/size.ts'
import {
  dataDescriptor,
  dataSector,
  LOG_DESCRIPTOR_SIZE,
  LOG_SECTOR_SIZE,
  logEntryHeader,
  zeroDescriptor,
} from '../../lib/vhdx/format.ts'
import { LOG_AT, type TestImage } from './test-image.ts'

export const LOG_GUID = '74e4656e-3b1d-48f9-bfa4-02aa776db03c'

interface EntryOptions {
  readonly sequenceNumber: bigint
  /** Bytes from the start of the log. */
  readonly tail?: number
  readonly logGuid?: string
  readonly flushedFileOffset?: number
  readonly lastFileOffset?: number
  /** 4 KiB each, and where they go in the file. */
  readonly data?: readonly { readonly fileOffset: number; readonly bytes: Buffer }[]
  readonly zeros?: readonly { readonly fileOffset: number; readonly zeroLength: number }[]
}

/** A valid entry: its descriptors, then its data sectors. */
export function logEntry({ sequenceNumber, tail = 0, logGuid = LOG_GUID, ...options }: EntryOptions): Buffer {
  const { data = [], zeros = [], flushedFileOffset = 4 * MiB, lastFileOffset = 4 * MiB } = options
  const descriptorCount = data.length + zeros.length
  const headSize = logEntryHeader.size + descriptorCount * LOG_DESCRIPTOR_SIZE
  const head = Buffer.alloc(Math.ceil(headSize / LOG_SECTOR_SIZE) * LOG_SECTOR_SIZE)
  const entryLength = head.length + data.length * LOG_SECTOR_SIZE
  const fields = { checksum: 0, entryLength, tail, sequenceNumber, descriptorCount, logGuid }
  logEntryHeader.encode({ ...fields, flushedFileOffset, lastFileOffset }, head)
  let at = logEntryHeader.size
  for (const { fileOffset, zeroLength } of zeros) {
    at += zeroDescriptor.encode({ zeroLength, fileOffset, sequenceNumber }, head, at)
  }
  for (const { fileOffset, bytes } of data) {
    const [leadingBytes, trailingBytes] = [bytes.subarray(0, 8), bytes.subarray(4092)]
    at += dataDescriptor.encode({ trailingBytes, leadingBytes, fileOffset, sequenceNumber }, head, at)
  }
  const sectors = data.map(({ bytes }) =>
    dataSector.toBuffer({
      sequenceHigh: Number(sequenceNumber >> 32n),
      data: bytes.subarray(8, 4092),
      sequenceLow: Number(BigInt.asUintN(32, sequenceNumber)),
    }),
  )
  const entry = Buffer.concat([head, ...sectors])
  entry.writeUInt32LE(crc32cWithout(entry, 4), 4)
  return entry
}

/** Puts `entry` at `offset` of the image's log of 1 MiB, going on at its start. */
export function putInLog(image: TestImage, offset: number, entry: Buffer): void {
  for (let at = 0; at < entry.length; at += LOG_SECTOR_SIZE) {
    entry.copy(image.content, LOG_AT + ((offset + at) % MiB), at, at + LOG_SECTOR_SIZE)
  }
}
