/** The disk has no table and no file system, so all that a device says is data counts as used. */
import { expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { compareWithDisk } from '../../lib/copy/compare-with-disk.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { sparseDevice } from '../helpers/sparse-device.ts'

const SIZE = 30 * MiB + 512
const DATA = [
  { offset: MiB, length: 3 * MiB },
  { offset: 9 * MiB + 512, length: 1024 },
  { offset: 20 * MiB, length: 10 * MiB + 512 },
]
const source = sparseDevice(SIZE, DATA)

/** The image of `source` with other bytes in these places. */
function image(...changes: readonly (readonly [number, Buffer])[]): BlockDevice {
  const content = Buffer.from(source.content)
  for (const [offset, bytes] of changes) bytes.copy(content, offset)
  return new MemoryDevice(content, { readOnly: true })
}

const compare = (image: BlockDevice, disk: BlockDevice = source) => compareWithDisk(image, undefined, disk, {})
const none = { bytes: 0, ranges: [], truncated: false }

test('an image that is as its disk has no difference, and everything of both is compared', async () => {
  expect(await compare(image())).toEqual({ bytesChecked: SIZE, differences: [], differentBytes: 0, readErrors: none })
})

test('where neither has data nothing is read', async () => {
  const counting = new CountingDevice(sparseDevice(SIZE, DATA))
  const { bytesChecked } = await compare(counting)
  expect(bytesChecked).toBe(counting.bytesRead)
  // Of the eight windows of 4 MiB, those from 4, 12 and 16 MiB have no data.
  expect(bytesChecked).toBe(SIZE - 3 * 4 * MiB)
})

test('every changed byte is found, to its page, and so is data that the disk has not', async () => {
  const report = await compare(
    image(
      [MiB, Buffer.of(0)],
      [MiB + 4096, Buffer.of(0)],
      [6 * MiB, Buffer.of(1)],
      [16 * MiB - 1, Buffer.of(1)],
      [SIZE - 1, Buffer.of(0)],
    ),
  )
  expect(report).toEqual({
    bytesChecked: SIZE,
    differences: [
      { offset: MiB, length: 8192 },
      { offset: 6 * MiB, length: 4096 },
      { offset: 16 * MiB - 4096, length: 4096 },
      { offset: SIZE - 512, length: 512 },
    ],
    differentBytes: 8192 + 4096 + 4096 + 512,
    readErrors: none,
  })
})

test('an image that lost data differs', async () => {
  const { differences } = await compare(sparseDevice(SIZE, DATA.slice(0, 2)))
  expect(differences).toEqual([DATA[2]])
})

test('what cannot be read of the disk is reported, not compared, and all else is', async () => {
  const unreadable = [
    { offset: 2 * MiB, length: 1 },
    { offset: 24 * MiB - 512, length: 1024 },
    // In a place that is not copied: nobody asks for it.
    { offset: 14 * MiB, length: 512 },
  ]
  const failing = new FaultyDevice(source, { unreadable })
  // The image has zeros in one of the places, the other as it was; beside the first, in the same page, a change.
  const changed = image([2 * MiB, Buffer.alloc(512)], [2 * MiB + 512, Buffer.of(0)], [25 * MiB, Buffer.of(0)])
  expect(await compare(changed, failing)).toEqual({
    bytesChecked: SIZE - 512 - 1024,
    differences: [
      { offset: 2 * MiB, length: 4096 },
      { offset: 25 * MiB, length: 4096 },
    ],
    differentBytes: 8192,
    readErrors: {
      bytes: 1536,
      ranges: [
        { offset: 2 * MiB, length: 512 },
        { offset: 24 * MiB - 512, length: 1024 },
      ],
      truncated: false,
    },
  })
})

test('a window with more unreadable places than are listed is not compared at all', async () => {
  const unreadable = Array.from({ length: 1500 }, (_, i) => ({ offset: 24 * MiB + 1024 * i, length: 512 }))
  const { readErrors, bytesChecked } = await compare(image(), new FaultyDevice(source, { unreadable }))
  expect(readErrors).toEqual({ bytes: 4 * MiB, ranges: [{ offset: 24 * MiB, length: 4 * MiB }], truncated: false })
  expect(bytesChecked).toBe(SIZE - 4 * MiB)
})

test('a disk that goes away ends it, and one of another size is refused', async () => {
  const counting = new CountingDevice(source)
  await compare(image(), counting)
  const gone = new FaultyDevice(source, { requests: counting.reads.length - 1 })
  await expect(compare(image(), gone)).rejects.toMatchObject({ code: 'DEVICE_GONE' })
  for (const size of [SIZE - 512, SIZE + 512]) {
    const compared = compare(image(), new MemoryDevice(size))
    await expect(compared).rejects.toMatchObject({ name: 'OptionError', code: 'SIZE_DIFFERS' })
  }
  // The image's last sector may be longer than the disk.
  const short = new MemoryDevice(source.content.subarray(0, SIZE - 100))
  expect(await compare(image([SIZE - 100, Buffer.alloc(100)]), short)).toMatchObject({ differentBytes: 0 })
})

test('an aborted comparison ends with its reason', async () => {
  const signal = AbortSignal.abort(new Error('enough'))
  await expect(compareWithDisk(image(), undefined, source, { signal })).rejects.toThrow('enough')
})
