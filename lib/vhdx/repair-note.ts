/** What an image that was repaired says of itself: which bytes of its disk are lost. spec-notes/vhdx.md, What repair notes */
import { normalizeRanges, type Range } from '../device/ranges.ts'
import { FormatError, formatError } from '../errors.ts'
import { LOG_DISCARDED, lostRange, MAX_LOST_RANGES, MORE_LOST, repairNote } from './format.ts'

export interface RepairNote {
  /** Of the image when it was repaired. While it has that one, nothing on its disk has been written since. */
  readonly dataWriteGuid: string
  readonly repairedAt: Date
  /** Bytes of the disk that are lost, those of ranges that have no room here among them. */
  readonly lostBytes: number
  /** In order, not touching each other. */
  readonly ranges: readonly Range[]
  /** Whether there are more ranges: every undefined block may be one. */
  readonly isTruncated: boolean
  /** Whether a log was given up, so that anything may be old. */
  readonly isLogDiscarded: boolean
}

export function encodeRepairNote(note: RepairNote): Buffer {
  const ranges = note.ranges.slice(0, MAX_LOST_RANGES)
  const isTruncated = note.isTruncated || ranges.length < note.ranges.length
  const head = repairNote.toBuffer({
    version: 1,
    flags: (isTruncated ? MORE_LOST : 0) + (note.isLogDiscarded ? LOG_DISCARDED : 0),
    dataWriteGuid: note.dataWriteGuid,
    repairedAt: note.repairedAt.getTime(),
    lostBytes: note.lostBytes,
    rangeCount: ranges.length,
  })
  return Buffer.concat([head, ...ranges.map(range => lostRange.toBuffer(range))])
}

/** The note in `bytes`, which lie at byte `position` of the file. Throws FormatError (REPAIR_NOTE). */
export function decodeRepairNote(bytes: Buffer, position: number): RepairNote {
  try {
    const { version, flags, repairedAt, rangeCount, ...fields } = repairNote.decode(bytes, 0, position)
    // The last moment that a Date can be.
    if (repairedAt > 8.64e15) throw broken(position, 'of a time there is', `of ${repairedAt} ms`)
    const room = (bytes.length - repairNote.size) / lostRange.size
    if (version !== 1 || rangeCount !== room)
      throw broken(position, `version 1 with ${room} ranges`, `version ${version} with ${rangeCount}`)
    const ranges = Array.from({ length: rangeCount }, (_, index) =>
      lostRange.decode(bytes, repairNote.size + index * lostRange.size, position),
    )
    return {
      ...fields,
      repairedAt: new Date(repairedAt),
      ranges: normalizeRanges(ranges),
      isTruncated: has(flags, MORE_LOST),
      isLogDiscarded: has(flags, LOG_DISCARDED),
    }
  } catch (error) {
    if (!(error instanceof FormatError) || error.code === 'REPAIR_NOTE') throw error
    throw broken(position, 'that of a repair', error.message)
  }
}

const has = (flags: number, flag: number) => Math.floor(flags / flag) % 2 === 1

const broken = (position: number, expected: string, actual: string) =>
  formatError('REPAIR_NOTE', { structure: repairNote.name, position, expected, actual })
