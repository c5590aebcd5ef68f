import { beforeAll, describe, expect, test } from 'vitest'
import { GiB, MiB } from '../../lib/binary/size.ts'
import { ContentHasher, type ContentHashes } from '../../lib/copy/content-hash.ts'
import { HashThread } from '../../lib/copy/hash-thread.ts'
import type { Manifest } from '../../lib/copy/manifest.ts'
import { verifyHashes } from '../../lib/copy/verify-hashes.ts'
import { alignedBuffer } from '../../lib/device/aligned-memory.ts'
import { CountingDevice } from '../helpers/counting-device.ts'
import { pattern } from '../helpers/pattern.ts'
import { VastDevice } from '../helpers/vast-device.ts'

/** The last unit is short. */
const SIZE = 12 * GiB + 1024
const LAST = SIZE - 1024

/** Offsets and lengths of what is on the disk, each part of one unit. */
const DATA: readonly (readonly [number, number])[] = [
  [0, MiB],
  [5 * MiB + 1000, 3000],
  [6 * MiB, MiB],
  [GiB, 512],
  [LAST, 1024],
]

async function disk(changes: readonly (readonly [number, Buffer])[] = []): Promise<VastDevice> {
  const device = new VastDevice(SIZE)
  for (const [offset, length] of DATA) await device.write(offset, pattern(length, offset))
  for (const [offset, bytes] of changes) await device.write(offset, bytes)
  return device
}

const manifest = (hashes: ContentHashes, size = SIZE) =>
  ({ source: { path: '', format: 'raw', size }, hashes }) as Manifest

describe.each([1, 4])('at a grain of %i MiB', grainMiB => {
  const grain = grainMiB * MiB
  let hashes: ContentHashes
  /** The grains that have data, as ranges of the disk. */
  const listed = [...new Set(DATA.map(([offset]) => Math.floor(offset / grain)))].map(number => ({
    offset: number * grain,
    length: Math.min(grain, SIZE - number * grain),
  }))
  const listedBytes = listed.reduce((sum, { length }) => sum + length, 0)
  const grainAt = (offset: number) =>
    listed.find(range => offset >= range.offset && offset < range.offset + range.length)!

  beforeAll(async () => {
    await using thread = new HashThread()
    const hasher = new ContentHasher(thread, grain, SIZE)
    const content = await disk()
    for (const unit of DATA.map(([offset]) => Math.floor(offset / MiB))) {
      const bytes = alignedBuffer(Math.min(MiB, SIZE - unit * MiB))
      await content.read(unit * MiB, bytes)
      await hasher.add(unit, bytes)
    }
    hashes = await hasher.finish()
  })

  const right = { differences: [], differentBytes: 0, readErrors: { bytes: 0, ranges: [], truncated: false } }

  test('what was captured is as it was, and only what has data is read', async () => {
    const counting = new CountingDevice(await disk())
    expect(await verifyHashes(counting, manifest(hashes), {})).toEqual({ bytesChecked: listedBytes, ...right })
    expect(counting.bytesRead).toBe(4 * MiB + 1024)
  })

  test.each(DATA)('one changed byte of what lies at %i is found', async (offset, length) => {
    const at = offset + length - 1
    const report = await verifyHashes(await disk([[at, Buffer.of(0)]]), manifest(hashes), {})
    expect(report).toMatchObject({ bytesChecked: listedBytes, differences: [grainAt(at)] })
    expect(report.differentBytes).toBe(grainAt(at).length)
  })

  test.each(DATA)('what lay at %i and is zeros now is found', async (offset, length) => {
    const report = await verifyHashes(await disk([[offset, Buffer.alloc(length)]]), manifest(hashes), {})
    expect(report.differences.length).toBe(1)
  })

  test('data where there was none is found, in grains that are listed and others; zeros there are not', async () => {
    const device = await disk([
      [4 * MiB, pattern(1)],
      [2 * GiB, Buffer.alloc(512)],
      [3 * GiB + 100, pattern(1)],
    ])
    const unlisted = { offset: 3 * GiB, length: grain }
    const report = await verifyHashes(device, manifest(hashes), {})
    const inside = grainMiB === 1 ? { offset: 4 * MiB, length: MiB } : grainAt(5 * MiB)
    expect(report.differences).toEqual([inside, unlisted])
  })

  test('an image that has nothing any more has not what is listed, and nothing is read', async () => {
    const counting = new CountingDevice(new VastDevice(SIZE))
    const report = await verifyHashes(counting, manifest(hashes), {})
    expect(report).toMatchObject({ bytesChecked: listedBytes, differentBytes: listedBytes })
    expect(counting.bytesRead).toBe(0)
  })

  test('a sample is at least one grain, not all of them, and another one each time', async () => {
    const device = await disk(DATA.map(([offset, length]) => [offset, Buffer.alloc(length, 0xee)] as const))
    const seen = new Set<string>()
    for (let i = 0; i < 12; i++) {
      const { bytesChecked, differences, differentBytes } = await verifyHashes(device, manifest(hashes), {
        sample: 0.01,
      })
      expect(differences.length).toBe(1)
      expect(bytesChecked).toBe(differentBytes)
      seen.add(JSON.stringify(differences))
    }
    expect(seen.size).toBeGreaterThan(1)
    for (const drawn of seen) expect(listed.map(range => JSON.stringify([range]))).toContain(drawn)
    expect(await verifyHashes(await disk(), manifest(hashes), { sample: 1 })).toMatchObject({
      bytesChecked: listedBytes,
    })
    const half = await verifyHashes(device, manifest(hashes), { sample: 0.5 })
    expect(half.bytesChecked).toBeLessThan(listedBytes)
  })

  test('a disk of another size than was captured is not verified at all', async () => {
    for (const size of [SIZE - 512, SIZE - MiB, SIZE + 512]) {
      const verified = verifyHashes(new VastDevice(size), manifest(hashes), {})
      await expect(verified).rejects.toMatchObject({ name: 'FormatError', code: 'BAD_MANIFEST' })
    }
    // The source may end inside the image's last sector.
    expect(await verifyHashes(await disk(), manifest(hashes, SIZE - 100), {})).toMatchObject(right)
  })

  test('a sample that is no part is refused, and an aborted check ends with its reason', async () => {
    for (const sample of [0, -1, 1.5, Number.NaN]) {
      const verified = verifyHashes(await disk(), manifest(hashes), { sample })
      await expect(verified).rejects.toMatchObject({ name: 'OptionError', code: 'BAD_SAMPLE' })
    }
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(verifyHashes(await disk(), manifest(hashes), { signal })).rejects.toThrow('enough')
  })

  test('progress goes up to its total', async () => {
    const reports: { done: number; total: number }[] = []
    await verifyHashes(await disk(), manifest(hashes), { onProgress: report => reports.push(report) })
    const done = reports.map(report => report.done)
    expect(done).toEqual([...done].sort((a, b) => a - b))
    expect(reports.every(report => report.done <= report.total)).toBe(true)
    expect(done.at(-1)).toBeGreaterThan(0.5 * reports.at(-1)!.total)
  })
})
