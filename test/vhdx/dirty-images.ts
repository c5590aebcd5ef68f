/** Images with a log that has to be replayed, one for each thing that a log can be, and the disk each then has. */
import { MiB } from '../../lib/binary/size.ts'
import { LOG_GUID, logEntry, putInLog } from './log-entries.ts'
import { BAT_AT, type TestImage } from './test-image.ts'

const OTHER_GUID = '00000000-0000-0000-0000-000000000001'
/** As Windows has them: above 2^53. */
const FIRST = 2750127672981409427n

/** The base has blocks 0, 3 and 7 of 8 at MiB 4, 5 and 6; the image of a case has some of these, and perhaps others. */
export interface DirtyImage {
  readonly name: string
  readonly make: (image: TestImage) => void
  /** The blocks that are there after the replay, and where in the replayed file, in MiB. */
  readonly blocks: Readonly<Record<number, number>>
  /** What the replay does to the bytes of blocks. */
  readonly change?: (file: Buffer) => void
  /** Bytes of the file after the replay, 7 MiB unless told. */
  readonly fileSize?: number
  /** qemu-img 7.2 makes something else of it, or nothing. */
  readonly notQemu?: true
}

const BASE = { 0: 4, 3: 5, 7: 6 }

/** The first page of a BAT with these blocks. */
function bat(blocks: Readonly<Record<number, number>>): Buffer {
  const page = Buffer.alloc(4096)
  for (const [block, mebibyte] of Object.entries(blocks))
    page.writeBigUInt64LE(BigInt(mebibyte * MiB + 6), Number(block) * 8)
  return page
}

/** A write of a BAT with these blocks. */
const batWrite = (blocks: Readonly<Record<number, number>>) => ({ fileOffset: BAT_AT, bytes: bat(blocks) })

const dirty = (image: TestImage, ...entries: readonly (readonly [offset: number, entry: Buffer])[]) => {
  image.editHeaders({ logGuid: LOG_GUID })
  for (const [offset, entry] of entries) putInLog(image, offset, entry)
}

const SEVEN = { 7: 6 }
const THREE = { 3: 5 }

export const DIRTY_IMAGES: readonly DirtyImage[] = [
  {
    name: 'one entry',
    make: image => dirty(image, [0, logEntry({ sequenceNumber: FIRST, data: [batWrite(SEVEN)] })]),
    blocks: SEVEN,
  },
  {
    name: 'two entries, of which the later wins',
    make: image =>
      dirty(
        image,
        [0, logEntry({ sequenceNumber: FIRST, data: [batWrite(SEVEN)] })],
        [8192, logEntry({ sequenceNumber: FIRST + 1n, data: [batWrite(THREE)] })],
      ),
    blocks: THREE,
  },
  {
    name: 'a torn second entry',
    make: image => {
      const torn = logEntry({ sequenceNumber: FIRST + 1n, data: [batWrite(THREE)] })
      torn[4096 + 100]! ^= 1
      dirty(image, [0, logEntry({ sequenceNumber: FIRST, data: [batWrite(SEVEN)] })], [8192, torn])
    },
    blocks: SEVEN,
  },
  {
    name: 'a second entry of another session',
    make: image =>
      dirty(
        image,
        [0, logEntry({ sequenceNumber: FIRST, data: [batWrite(SEVEN)] })],
        [8192, logEntry({ sequenceNumber: FIRST + 1n, logGuid: OTHER_GUID, data: [batWrite(THREE)] })],
      ),
    blocks: SEVEN,
  },
  {
    name: 'an entry that goes on at the start of the log',
    make: image =>
      dirty(image, [MiB - 4096, logEntry({ sequenceNumber: FIRST, tail: MiB - 4096, data: [batWrite(SEVEN)] })]),
    blocks: SEVEN,
  },
  {
    name: 'a descriptor sector that is the last of the log, and zeros before data',
    make: image => {
      const zeros = [{ fileOffset: BAT_AT, zeroLength: MiB }]
      dirty(image, [MiB - 4096, logEntry({ sequenceNumber: 1n, tail: MiB - 4096, zeros, data: [batWrite(THREE)] })])
    },
    blocks: THREE,
  },
  {
    name: 'an entry that says nothing',
    make: image => dirty(image, [0, logEntry({ sequenceNumber: FIRST })]),
    blocks: BASE,
  },
  {
    name: 'one that says nothing, and then others, as Windows begins',
    make: image =>
      dirty(
        image,
        [0, logEntry({ sequenceNumber: FIRST })],
        [4096, logEntry({ sequenceNumber: FIRST + 1n, tail: 4096, data: [batWrite(SEVEN)] })],
        [12288, logEntry({ sequenceNumber: FIRST + 2n, tail: 4096, data: [batWrite(THREE)] })],
      ),
    blocks: THREE,
  },
  {
    name: 'zeros over the whole BAT',
    make: image =>
      dirty(image, [0, logEntry({ sequenceNumber: 9n, zeros: [{ fileOffset: BAT_AT, zeroLength: MiB }] })]),
    blocks: {},
  },
  {
    name: 'zeros over two blocks and a half',
    make: image =>
      dirty(image, [
        0,
        logEntry({ sequenceNumber: 9n, zeros: [{ fileOffset: 4 * MiB + 4096, zeroLength: 2.5 * MiB }] }),
      ]),
    blocks: BASE,
    change: file => file.fill(0, 4 * MiB + 4096, 6.5 * MiB + 4096),
  },
  {
    name: 'more than 126 descriptors',
    make: image => {
      const data = Array.from({ length: 200 }, (_, n) => ({
        fileOffset: 4 * MiB + n * 4096,
        bytes: Buffer.alloc(4096, n + 1),
      }))
      dirty(image, [0, logEntry({ sequenceNumber: FIRST, data: [...data, batWrite({ 0: 4, 1: 5 })] })])
    },
    blocks: { 0: 4, 1: 5 },
    change: file => {
      for (let n = 0; n < 200; n++) file.fill(n + 1, 4 * MiB + n * 4096, 4 * MiB + (n + 1) * 4096)
    },
    notQemu: true,
  },
  {
    name: 'a gap in the numbers',
    make: image =>
      dirty(
        image,
        [0, logEntry({ sequenceNumber: 5n, zeros: [{ fileOffset: 4 * MiB, zeroLength: MiB }] })],
        [4096, logEntry({ sequenceNumber: 7n, tail: 4096, data: [batWrite({ 0: 4 })] })],
      ),
    blocks: { 0: 4 },
    notQemu: true,
  },
  {
    name: 'an entry before the tail, which was replayed long ago',
    make: image =>
      dirty(
        image,
        [0, logEntry({ sequenceNumber: 5n, zeros: [{ fileOffset: 4 * MiB, zeroLength: MiB }] })],
        [4096, logEntry({ sequenceNumber: 6n, tail: 4096, data: [batWrite({ 0: 4 })] })],
      ),
    blocks: { 0: 4 },
    notQemu: true,
  },
  {
    name: 'a file that has to grow',
    make: image =>
      dirty(image, [0, logEntry({ sequenceNumber: 5n, lastFileOffset: 9 * MiB, data: [batWrite({ 0: 4, 1: 8 })] })]),
    blocks: { 0: 4, 1: 8 },
    fileSize: 9 * MiB,
    notQemu: true,
  },
  {
    name: 'a write behind the end of the file',
    make: image => {
      const data = [batWrite({ 0: 4, 1: 7 }), { fileOffset: 8 * MiB - 4096, bytes: Buffer.alloc(4096, 3) }]
      dirty(image, [0, logEntry({ sequenceNumber: 5n, data })])
    },
    blocks: { 0: 4, 1: 7 },
    change: file => file.fill(3, 8 * MiB - 4096),
    fileSize: 8 * MiB,
  },
  {
    name: 'an older entry of a time when the file was longer',
    make: image =>
      dirty(
        image,
        [0, logEntry({ sequenceNumber: 5n, flushedFileOffset: 64 * MiB })],
        [4096, logEntry({ sequenceNumber: 6n, tail: 0, data: [batWrite(SEVEN)] })],
      ),
    blocks: SEVEN,
    notQemu: true,
  },
  {
    name: 'region tables that only the log has',
    make: image => {
      const data = [0x30000, 0x40000].map(fileOffset => ({
        fileOffset,
        bytes: Buffer.from(image.content.subarray(fileOffset, fileOffset + 4096)),
      }))
      image.content.fill(0xee, 0x30000, 0x31000).fill(0xee, 0x40000, 0x41000)
      dirty(image, [0, logEntry({ sequenceNumber: 5n, data })])
    },
    blocks: BASE,
  },
  {
    name: 'metadata that only the log has',
    make: image => {
      const data = [2 * MiB, 2 * MiB + 65536].map(fileOffset => ({
        fileOffset,
        bytes: Buffer.from(image.content.subarray(fileOffset, fileOffset + 4096)),
      }))
      image.content.fill(0xee, 2 * MiB, 3 * MiB)
      dirty(image, [0, logEntry({ sequenceNumber: 5n, data })])
    },
    blocks: BASE,
  },
]

/** The disk of 8 blocks of 1 MiB that `image` has after the replay; `file` is the image before it. */
export function diskAfterReplay({ blocks, change, fileSize = 7 * MiB }: DirtyImage, file: Buffer): Buffer {
  const replayed = Buffer.alloc(fileSize)
  file.copy(replayed)
  change?.(replayed)
  const disk = Buffer.alloc(8 * MiB)
  for (const [block, mebibyte] of Object.entries(blocks)) {
    replayed.copy(disk, Number(block) * MiB, mebibyte * MiB, (mebibyte + 1) * MiB)
  }
  return disk
}
