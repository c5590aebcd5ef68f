/** An image against the hashes in its manifest. */
import { roundUp } from '../binary/size.ts'
import { alignedBuffer } from '../device/aligned-memory.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { OptionError } from '../errors.ts'
import { type ContentHashes, GrainHash, isZero, UNIT, unitLength } from './content-hash.ts'
import { HashThread } from './hash-thread.ts'
import type { Manifest } from './manifest.ts'
import { mapInOrder } from './map-in-order.ts'
import { badManifest } from './read-manifest.ts'
import { type VerifyReport, VerifyTally } from './verify-report.ts'

/** Units that are read and hashed at a time. */
const IN_FLIGHT = 6

interface HashCheck {
  /** The part of the grains to check, chosen at random. Undefined: all, and all that should be zeros. */
  readonly sample?: number | undefined
  readonly onProgress?: ((report: { phase: string; done: number; total: number }) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** A grain to check, with the hash it should have; without one it should be zeros. */
interface ExpectedGrain {
  readonly grain: number
  readonly digest: Buffer | undefined
}

/**
 * Reads the grains the manifest lists, and all the image has data in besides. Throws FormatError (BAD_MANIFEST) when the
 * disk has another size than the one that was captured, OptionError (BAD_SAMPLE).
 */
export async function verifyHashes(disk: BlockDevice, manifest: Manifest, options: HashCheck): Promise<VerifyReport> {
  const { hashes, source } = manifest
  const { sample, signal } = options
  if (roundUp(source.size, disk.sectorSize) !== disk.size) {
    throw badManifest(`it is of a disk of ${source.size} bytes, the one in the image has ${disk.size}`)
  }
  const all = listedGrains(hashes)
  const listed = sample === undefined ? all : sampleOf(all, sample)
  const grains = sample === undefined ? withUnlisted(listed, disk, hashes.grain) : listed
  const total = listed.length * hashes.grain
  await using thread = new HashThread()
  const buffers = Array.from({ length: IN_FLIGHT }, () => alignedBuffer(UNIT))
  const hashed = mapInOrder(stepsThrough(grains, disk, hashes.grain), IN_FLIGHT, async (step, slot) => {
    signal?.throwIfAborted()
    if (step.unit === undefined) return step
    const bytes = buffers[slot]!.subarray(0, unitLength(step.unit, disk.size))
    await disk.read(step.unit * UNIT, bytes)
    return isZero(bytes) ? step : { ...step, digest: await thread.sha256(bytes) }
  })
  const tally = new VerifyTally()
  let hash: GrainHash | undefined
  for await (const { expected, unit, digest } of hashed) {
    if (unit !== undefined) {
      if (digest === undefined) continue
      hash ??= new GrainHash(expected.grain, hashes.grain, disk.size)
      hash.add(unit, digest)
      continue
    }
    const extent = extentOf(expected.grain, disk, hashes.grain)
    // No hash: nothing but zeros, which are not listed.
    const isRight = hash === undefined ? expected.digest === undefined : expected.digest?.equals(hash.digest())
    tally.addChecked(extent.length, isRight ? [] : [extent])
    hash = undefined
    options.onProgress?.({ phase: 'verifying', done: Math.min(tally.bytesChecked, total), total })
  }
  return tally.report
}

function extentOf(grain: number, disk: BlockDevice, grainSize: number): Range {
  const offset = grain * grainSize
  return { offset, length: Math.min(grainSize, disk.size - offset) }
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
  if (!(part > 0 && part <= 1)) {
    throw new OptionError('BAD_SAMPLE', `${part} is no part of the whole. Give more than 0 and at most 1`)
  }
  const wanted = Math.min(listed.length, Math.ceil(listed.length * part))
  const chosen: ExpectedGrain[] = []
  for (const [i, grain] of listed.entries()) {
    // Each with the chance that leaves exactly as many as are wanted.
    if (Math.random() * (listed.length - i) < wanted - chosen.length) chosen.push(grain)
  }
  return chosen
}

/** A unit of a grain, to be read, or the grain's end. */
interface Step {
  readonly expected: ExpectedGrain
  readonly unit: number | undefined
  readonly digest?: Buffer
}

/** The units of each grain that the image has data in, and then the grain's end. All other units are zeros. */
async function* stepsThrough(
  grains: AsyncIterable<ExpectedGrain> | Iterable<ExpectedGrain>,
  disk: BlockDevice,
  grainSize: number,
): AsyncIterable<Step> {
  for await (const expected of grains) {
    let unit = 0
    for await (const range of disk.dataRanges(extentOf(expected.grain, disk, grainSize))) {
      const end = Math.ceil(endOf(range) / UNIT)
      for (unit = Math.max(unit, Math.floor(range.offset / UNIT)); unit < end; unit++) yield { expected, unit }
    }
    yield { expected, unit: undefined }
  }
}
