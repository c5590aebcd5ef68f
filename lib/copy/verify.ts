/** Whether an image still holds what was captured: by the hashes in its manifest, or beside the disk itself. */

import { createHash } from 'node:crypto'
import { roundUp } from '../binary/size.ts'
import { alignedBuffer } from '../device/aligned-memory.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, normalizeRanges, type Range } from '../device/ranges.ts'
import { NotFoundError, OptionError } from '../errors.ts'
import { openDisk } from '../image/open-disk.ts'
import { type ContentHashes, isZero, UNIT, unitLength, zeroUnitDigest } from './content-hash.ts'
import { surveyDisk } from './disk-survey.ts'
import { globMatcher } from './glob.ts'
import { HashThread } from './hash-thread.ts'
import type { Manifest } from './manifest.ts'
import { mapInOrder } from './map-in-order.ts'
import { readManifest } from './read-manifest.ts'
import { RescuingReader } from './rescuing-reader.ts'
import { readUsedWindow, type UsedWindow, usedWindows, WINDOW } from './used-windows.ts'

/** Units or windows that are read and hashed at a time. */
const IN_FLIGHT = 6

/** Bytes to which a difference is narrowed down. */
const PAGE = 4096

/** The most differences that are listed. */
const MAX_LISTED = 1_000

/** What to verify, and against what. */
export interface VerifyOptions {
  readonly image: string
  /** The part of the grains to check, chosen at random: more than 0, at most 1. Default: everything. */
  readonly sample?: number | undefined
  /** A disk to compare with, instead of the hashes. */
  readonly against?: string | undefined
  readonly onProgress?: ((report: { phase: string; done: number; total: number }) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** What verifying found. */
export interface VerifyReport {
  /** Bytes of the disk that were compared. */
  readonly bytesChecked: number
  /** Where the image is not what it should be, in order, merged; of hashes, whole grains. At most a thousand. */
  readonly differences: readonly Range[]
  readonly differentBytes: number
}

/**
 * Reads the image and compares. Throws NotFoundError (NO_MANIFEST) when it was not captured by this program and there is
 * nothing to compare with, and what opening the image throws.
 */
export async function verifyImage(options: VerifyOptions): Promise<VerifyReport> {
  await using image = await openDisk(options.image)
  const manifest = await readManifest(image.disk)
  if (options.against !== undefined) return await verifyAgainst(image.disk, manifest, options.against, options)
  if (manifest === undefined) {
    throw new NotFoundError(
      'NO_MANIFEST',
      `${options.image} has no capture manifest, so there are no hashes to verify. Compare it with its disk (--against), or check its structure (vhdx check)`,
      { path: options.image },
    )
  }
  return await verifyHashes(image.disk, manifest.hashes, options)
}

/** A grain to check, with the hash it should have; without one it should be zeros. */
interface ExpectedGrain {
  readonly grain: number
  readonly digest: Buffer | undefined
}

async function verifyHashes(disk: BlockDevice, hashes: ContentHashes, options: VerifyOptions): Promise<VerifyReport> {
  const { grain: grainSize } = hashes
  const listed = listedGrains(hashes)
  const grains = options.sample === undefined ? withUnlisted(listed, disk, grainSize) : sampleOf(listed, options.sample)
  const total =
    options.sample === undefined ? await dataLength(disk) : Math.ceil(listed.length * options.sample) * grainSize
  await using thread = new HashThread()
  const buffers = Array.from({ length: IN_FLIGHT }, () => alignedBuffer(UNIT))
  const report = new Differences()
  let folded: { expected: ExpectedGrain; digests: Buffer[]; allZero: boolean } | undefined

  const judge = () => {
    if (folded === undefined) return
    const { expected, digests, allZero } = folded
    const actual = digests.length === 1 && grainSize === UNIT ? digests[0]! : hashOf(digests)
    const offset = expected.grain * grainSize
    const extent = { offset, length: Math.min(grainSize, disk.size - offset) }
    const isRight = expected.digest === undefined ? allZero : actual.equals(expected.digest)
    report.compared(extent, isRight)
    options.onProgress?.({ phase: 'verifying', done: Math.min(report.bytesChecked, total), total })
  }
  const digested = mapInOrder(unitsOf(grains, grainSize, disk.size), IN_FLIGHT, async ({ expected, unit }, slot) => {
    options.signal?.throwIfAborted()
    const bytes = buffers[slot]!.subarray(0, unitLength(unit, disk.size))
    await disk.read(unit * UNIT, bytes)
    const zero = isZero(bytes)
    return { expected, zero, digest: zero ? zeroUnitDigest(bytes.length) : await thread.sha256(bytes) }
  })
  for await (const { expected, zero, digest } of digested) {
    if (folded?.expected !== expected) {
      judge()
      folded = { expected, digests: [], allZero: true }
    }
    folded.digests.push(digest)
    folded.allZero &&= zero
  }
  judge()
  return report.done()
}

const hashOf = (digests: readonly Buffer[]) => {
  const hash = createHash('sha256')
  for (const digest of digests) hash.update(digest)
  return hash.digest()
}

function listedGrains({ stretches, digests }: ContentHashes): ExpectedGrain[] {
  const bytes = Buffer.from(digests, 'base64')
  const listed: ExpectedGrain[] = []
  for (const [first, count] of stretches) {
    for (let i = 0; i < count; i++) {
      const at = 32 * listed.length
      listed.push({ grain: first + i, digest: bytes.subarray(at, at + 32) })
    }
  }
  return listed
}

/** All listed grains, and those the image has data in although they are not listed. */
async function* withUnlisted(listed: readonly ExpectedGrain[], disk: BlockDevice, grainSize: number) {
  let next = 0
  let reached = 0
  for await (const range of disk.dataRanges()) {
    const last = Math.floor((endOf(range) - 1) / grainSize)
    for (let grain = Math.max(reached, Math.floor(range.offset / grainSize)); grain <= last; grain++) {
      while (next < listed.length && listed[next]!.grain < grain) yield listed[next++]!
      yield listed[next]?.grain === grain ? listed[next++]! : { grain, digest: undefined }
      reached = grain + 1
    }
  }
  yield* listed.slice(next)
}

/** At least one grain of `listed`, and `part` of them, drawn at random, in order. */
function sampleOf(listed: readonly ExpectedGrain[], part: number): ExpectedGrain[] {
  const wanted = Math.min(listed.length, Math.max(1, Math.ceil(listed.length * part)))
  const chosen: ExpectedGrain[] = []
  for (const [i, grain] of listed.entries()) {
    // Each with the chance that leaves exactly as many as are wanted.
    if (Math.random() * (listed.length - i) < wanted - chosen.length) chosen.push(grain)
  }
  return chosen
}

async function* unitsOf(
  grains: AsyncIterable<ExpectedGrain> | Iterable<ExpectedGrain>,
  grainSize: number,
  diskSize: number,
) {
  for await (const expected of grains) {
    const first = (expected.grain * grainSize) / UNIT
    const end = Math.ceil(Math.min((expected.grain + 1) * grainSize, diskSize) / UNIT)
    for (let unit = first; unit < end; unit++) yield { expected, unit }
  }
}

async function dataLength(disk: BlockDevice): Promise<number> {
  let length = 0
  for await (const range of disk.dataRanges()) length += range.length
  return length
}

async function verifyAgainst(
  image: BlockDevice,
  manifest: Manifest | undefined,
  sourcePath: string,
  options: VerifyOptions,
): Promise<VerifyReport> {
  await using source = await openDisk(sourcePath)
  const survey = await surveyDisk(source.disk, {
    keep: new Set(manifest?.keep),
    ...(manifest?.exclude.length ? { exclude: globMatcher(manifest.exclude) } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
    copyDamagedWhole: manifest?.forced ?? false,
  })
  const expectedSize = roundUp(source.disk.size, image.sectorSize)
  if (expectedSize !== image.size) {
    throw new OptionError(
      'SIZE_DIFFERS',
      `the image holds a disk of ${image.size} bytes, ${sourcePath} has ${source.disk.size}`,
    )
  }
  const reader = new RescuingReader(source.disk, 'fail')
  const makeBuffers = () => Array.from({ length: IN_FLIGHT }, () => Buffer.allocUnsafeSlow(WINDOW))
  const [wanted, found] = [makeBuffers(), makeBuffers()]
  const report = new Differences()
  const total = (await dataLength(image)) || image.size
  const windows = windowsOfBoth(usedWindows(survey.ranges(), image.size), usedWindows(image.dataRanges(), image.size))
  const compared = mapInOrder(windows, IN_FLIGHT, async (window, slot) => {
    options.signal?.throwIfAborted()
    const actual = found[slot]!.subarray(0, window.length)
    const expected = await readUsedWindow(reader, window, survey.patches, wanted[slot]!)
    await image.read(window.offset, actual)
    return { window, differences: expected.equals(actual) ? [] : differentPages(window.offset, expected, actual) }
  })
  for await (const { window, differences } of compared) {
    report.comparedPart(window.length, differences)
    options.onProgress?.({ phase: 'comparing', done: Math.min(report.bytesChecked, total), total })
  }
  return report.done()
}

/** The windows of the disk's used ranges, and those where only the image has data: there the disk's should be zeros. */
async function* windowsOfBoth(
  source: AsyncIterable<UsedWindow>,
  image: AsyncIterable<UsedWindow>,
): AsyncIterable<UsedWindow> {
  const others = image[Symbol.asyncIterator]()
  let other = await others.next()
  for await (const window of source) {
    for (; !other.done && other.value.offset < window.offset; other = await others.next()) {
      yield { ...other.value, ranges: [] }
    }
    if (!other.done && other.value.offset === window.offset) other = await others.next()
    yield window
  }
  for (; !other.done; other = await others.next()) yield { ...other.value, ranges: [] }
}

function differentPages(offset: number, expected: Buffer, actual: Buffer): Range[] {
  const pages: Range[] = []
  for (let at = 0; at < actual.length; at += PAGE) {
    const end = Math.min(at + PAGE, actual.length)
    if (expected.compare(actual, at, end, at, end) !== 0) pages.push({ offset: offset + at, length: end - at })
  }
  return normalizeRanges(pages)
}

class Differences {
  bytesChecked = 0
  #bytes = 0
  #ranges: Range[] = []

  compared(extent: Range, isRight: boolean): void {
    this.comparedPart(extent.length, isRight ? [] : [extent])
  }

  comparedPart(length: number, differences: readonly Range[]): void {
    this.bytesChecked += length
    for (const range of differences) {
      this.#bytes += range.length
      const last = this.#ranges.at(-1)
      if (last !== undefined && endOf(last) === range.offset) {
        this.#ranges[this.#ranges.length - 1] = { offset: last.offset, length: last.length + range.length }
      } else if (this.#ranges.length < MAX_LISTED) this.#ranges.push(range)
    }
  }

  done(): VerifyReport {
    return { bytesChecked: this.bytesChecked, differences: this.#ranges, differentBytes: this.#bytes }
  }
}
