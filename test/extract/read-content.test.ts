/** A file from its start to its end, never more and never less. */
import { expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { readContent } from '../../lib/extract/read-content.ts'
import { FaultyDevice } from '../helpers/faulty-device.ts'
import { pattern } from '../helpers/pattern.ts'

const MiB = 1024 ** 2

test.each([0, 1, MiB - 1, MiB, MiB + 1, 2 * MiB, 5 * MiB + 3])(
  '%d bytes, each piece kept until the next',
  async size => {
    const content = pattern(size)
    const pieces: Buffer[] = []
    for await (const piece of readContent(new MemoryDevice(content))) {
      await new Promise(setImmediate)
      pieces.push(Buffer.from(piece))
    }
    expect(Buffer.concat(pieces).equals(content)).toBe(true)
  },
)

test('an error comes after all that is before it', async () => {
  const worn = new FaultyDevice(new MemoryDevice(pattern(4 * MiB)), { unreadable: [{ offset: 3 * MiB, length: 1 }] })
  let read = 0
  const work = async () => {
    for await (const piece of readContent(worn)) read += piece.length
  }
  await expect(work()).rejects.toMatchObject({ code: 'READ_ERROR' })
  expect(read).toBe(3 * MiB)
})

test('who stops early gets no error of what was read ahead', async () => {
  const worn = new FaultyDevice(new MemoryDevice(pattern(4 * MiB)), { unreadable: [{ offset: MiB, length: 1 }] })
  for await (const piece of readContent(worn)) {
    expect(piece.length).toBe(MiB)
    break
  }
})
