import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { MetadataPages } from '../../lib/vhdx/metadata-pages.ts'
import { Random } from '../fuzz/random.ts'
import { pattern } from '../helpers/pattern.ts'
import { RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'

const refuse = () => Promise.reject(new Error('no room is needed'))

/** What a session does with them, by and by. */
async function commit(pages: MetadataPages, file: { write(at: number, bytes: Buffer): Promise<void> }): Promise<void> {
  for (const { position, bytes } of pages.takeChanged()) await file.write(position, bytes)
  pages.committed()
}

async function read(pages: MetadataPages, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  await pages.read(position, bytes)
  const { page, at } = await pages.find(position)
  expect(page.subarray(at, at + Math.min(length, page.length - at)).equals(bytes.subarray(0, page.length - at))).toBe(
    true,
  )
  return bytes
}

describe('a change', () => {
  test('shows at once and is in the file when it was put there', async () => {
    const file = new MemoryDevice(pattern(MiB))
    const pages = new MetadataPages(file, refuse)
    await read(pages, 8192, 8)
    await pages.change([{ position: 8190, bytes: Buffer.from('abcd') }])
    expect((await read(pages, 8190, 4)).toString()).toBe('abcd')
    expect((await read(pages, 8188, 8)).toString('latin1', 2, 6)).toBe('abcd')
    expect(file.content.equals(pattern(MiB))).toBe(true)
    await commit(pages, file)
    expect(file.content.toString('latin1', 8190, 8194)).toBe('abcd')
    expect((await read(pages, 8190, 4)).toString()).toBe('abcd')
  })

  test('is kept by whole sectors, with what else they hold, in the order of the file', async () => {
    const pages = new MetadataPages(new MemoryDevice(pattern(MiB)), refuse)
    await pages.change([
      { position: 70_000, bytes: Buffer.from('x') },
      { position: 4095, bytes: Buffer.from('yz') },
      { position: 100, bytes: Buffer.from('w') },
    ])
    const sectors = pages.takeChanged()
    expect(sectors.map(({ position }) => position)).toEqual([0, 4096, 69_632])
    const expected = pattern(MiB)
    expected.write('w', 100)
    expected.write('yz', 4095)
    expected.write('x', 70_000)
    for (const { position, bytes } of sectors) {
      expect(bytes.equals(expected.subarray(position, position + 4096))).toBe(true)
    }
  })

  test('made while others are committed is not among them, and on top of them', async () => {
    const file = new MemoryDevice(MiB)
    const pages = new MetadataPages(file, refuse)
    await pages.change([{ position: 0, bytes: Buffer.from('old') }])
    const [sector] = pages.takeChanged()
    await pages.change([{ position: 1, bytes: Buffer.from('new') }])
    expect(sector!.bytes.toString('latin1', 0, 4)).toBe('old\0')
    expect((await read(pages, 0, 4)).toString()).toBe('onew')
    pages.committed()
    expect((await read(pages, 0, 4)).toString()).toBe('onew')
    expect(pages.takeChanged()[0]!.bytes.toString('latin1', 0, 4)).toBe('onew')
  })
})

describe('126 sectors', () => {
  const change = (first: number, count: number) =>
    Array.from({ length: count }, (_, n) => ({ position: (first + n) * 4096, bytes: Buffer.from([n + 1]) }))

  test('are the most that can change at once', async () => {
    const pages = new MetadataPages(new MemoryDevice(MiB), refuse)
    await expect(pages.change(change(0, 127))).rejects.toThrow(RangeError)
    await pages.change(change(0, 126))
    // These are among them.
    await pages.change(change(20, 50))
    expect(pages.takeChanged()).toHaveLength(126)
  })

  test('are committed before more are changed, never some of what is changed at once', async () => {
    const file = new MemoryDevice(2 * MiB)
    const counts: number[] = []
    const pages: MetadataPages = new MetadataPages(file, async () => {
      const sectors = pages.takeChanged()
      counts.push(sectors.length)
      for (const { position, bytes } of sectors) await file.write(position, bytes)
      pages.committed()
    })
    await pages.change(change(0, 100))
    await pages.change(change(90, 36))
    await pages.change(change(200, 1))
    expect(counts).toEqual([126])
    expect(pages.takeChanged().map(({ position }) => position / 4096)).toEqual([200])
    expect(file.content[90 * 4096]).toBe(1)
  })
})

test('what was read before a commit ended is not taken for what the file has after it', async () => {
  let answer = () => {}
  class LateAnswers extends MemoryDevice {
    override async readBytes(offset: number, target: Buffer): Promise<void> {
      await super.readBytes(offset, target)
      await new Promise<void>(resolve => {
        answer = resolve
      })
    }
  }
  const file = new LateAnswers(MiB)
  const pages = new MetadataPages(file, refuse)
  const first = pages.change([{ position: 0, bytes: Buffer.from('a') }])
  await new Promise(resolve => setImmediate(resolve))
  answer()
  await first
  const taken = pages.takeChanged()
  // It has read the one sector, and waits for the other while the commit ends.
  const second = pages.change([
    { position: 1, bytes: Buffer.from('b') },
    { position: MiB / 2, bytes: Buffer.from('c') },
  ])
  await new Promise(resolve => setImmediate(resolve))
  for (const { position, bytes } of taken) await file.write(position, bytes)
  pages.committed()
  for (let n = 0; n < 4; n++) {
    answer()
    await new Promise(resolve => setImmediate(resolve))
  }
  await second
  expect(pages.takeChanged()[0]!.bytes.toString('latin1', 0, 2)).toBe('ab')
})

test('whoever reads and changes while commits go on sees what was changed last', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string(), async seed => {
      const random = new Random(seed)
      const medium = new RecordingDevice(SparseFile.of(pattern(MiB)), { random })
      const pages = new MetadataPages(medium, refuse)
      const expected = pattern(MiB)
      let isWorking = true
      const committing = (async () => {
        while (isWorking) {
          await commit(pages, medium)
          await new Promise(resolve => setImmediate(resolve))
        }
      })()
      // Each changes bytes of its own, some of which share sectors and pages with those of others.
      await Promise.all(
        Array.from({ length: 8 }, async (_, worker) => {
          for (let n = 0; n < 12; n++) {
            const position = (random.below(40) * 8 + worker) * 512
            const bytes = random.bytes(1 + random.below(512))
            await pages.change([{ position, bytes }])
            bytes.copy(expected, position)
            const now = Buffer.alloc(bytes.length)
            await pages.read(position, now)
            expect(now.equals(bytes)).toBe(true)
          }
        }),
      )
      isWorking = false
      await committing
      await commit(pages, medium)
      expect(medium.content.toBuffer().equals(expected)).toBe(true)
    }),
    { numRuns: 30 },
  )
})
