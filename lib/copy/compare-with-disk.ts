/** An image beside the disk it was captured from. */
import { roundUp } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { type Range, totalLength } from '../device/ranges.ts'
import { OptionError } from '../errors.ts'
import { differentRanges } from './different-ranges.ts'
import { surveyDisk } from './disk-survey.ts'
import { globMatcher } from './glob.ts'
import type { Manifest } from './manifest.ts'
import { mapInOrder } from './map-in-order.ts'
import { RescuingReader } from './rescuing-reader.ts'
import { readUsedWindow, type UsedWindow, usedWindows, WINDOW } from './used-windows.ts'
import { type VerifyReport, VerifyTally } from './verify-report.ts'

/** Windows that are compared at a time: each takes two buffers of 4 MiB. */
const IN_FLIGHT = 2

/** Bytes to which a difference is narrowed down. */
const PAGE = 4096

interface Comparison {
  readonly onProgress?: ((report: { phase: string; done: number; total: number }) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Compares `image` with what a capture of the disk `source` would copy now: with the options that `manifest` says
 * were used, without one with the defaults. What cannot be read of the disk is reported and not compared.
 * Throws OptionError (SIZE_DIFFERS) for a disk of another size, and what surveying it throws.
 */
export async function compareWithDisk(
  image: BlockDevice,
  manifest: Manifest | undefined,
  source: BlockDevice,
  { onProgress, signal }: Comparison,
): Promise<VerifyReport> {
  if (roundUp(source.size, image.sectorSize) !== image.size) {
    throw new OptionError(
      'SIZE_DIFFERS',
      `the image holds a disk of ${image.size} bytes, the one to compare it with has ${source.size}. Give the disk it was captured from`,
    )
  }
  const survey = await surveyDisk(source, {
    keep: new Set(manifest?.keep),
    ...(manifest?.exclude.length && { exclude: globMatcher(manifest.exclude) }),
    ...(signal && { signal }),
    copyDamagedWhole: true,
  })
  const makeBuffers = () => Array.from({ length: IN_FLIGHT }, () => Buffer.allocUnsafeSlow(WINDOW))
  const [wanted, found] = [makeBuffers(), makeBuffers()]
  const total = (await dataLength(image)) || image.size
  const windows = windowsOfBoth(usedWindows(survey.ranges(), image.size), usedWindows(image.dataRanges(), image.size))
  const compared = mapInOrder(windows, IN_FLIGHT, async (window, slot) => {
    signal?.throwIfAborted()
    const actual = found[slot]!.subarray(0, window.length)
    // One of its own for each window: that it reports what is unreadable in this one.
    const reader = new RescuingReader(source, 'zero', signal)
    const expected = await readUsedWindow(reader, window, survey.patches, wanted[slot]!)
    await image.read(window.offset, actual)
    const unreadable = unreadableIn(window, reader)
    for (const { offset, length } of unreadable) {
      const start = offset - window.offset
      actual.copy(expected, start, start, start + length)
    }
    return { window, unreadable, differences: differentRanges(window.offset, expected, actual, PAGE) }
  })
  const tally = new VerifyTally()
  for await (const { window, unreadable, differences } of compared) {
    tally.addChecked(window.length - totalLength(unreadable), differences)
    tally.addUnreadable(unreadable)
    onProgress?.({ phase: 'comparing', done: Math.min(tally.bytesChecked, total), total })
  }
  return tally.report
}

/** Where `reader` gave up, or the whole window when it was in more places than it lists. */
function unreadableIn({ offset, length }: UsedWindow, { errors }: RescuingReader): readonly Range[] {
  return errors.truncated ? [{ offset, length }] : errors.ranges
}

async function dataLength(disk: BlockDevice): Promise<number> {
  let length = 0
  for await (const range of disk.dataRanges()) length += range.length
  return length
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
