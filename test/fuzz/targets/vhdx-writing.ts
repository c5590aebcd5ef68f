/** VHDX that is written to: what was damaged is refused, or stays what it was where nothing was written. */
import type { BlockDevice } from '../../../lib/device/block-device.ts'
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import { intersect, type Range } from '../../../lib/device/ranges.ts'
import { DiskImageError } from '../../../lib/errors.ts'
import { checkVhdx } from '../../../lib/vhdx/check.ts'
import { VhdxDevice } from '../../../lib/vhdx/vhdx-device.ts'
import { SparseFile } from '../../helpers/sparse-file.ts'
import { type DiskKind, perform, randomRequest, trimmed } from '../../vhdx/disk-requests.ts'
import type { Observer } from '../observer.ts'
import { Random } from '../random.ts'
import type { Target } from '../target.ts'
import { parentImage, vhdx } from './vhdx.ts'

/** Requests to one disk. */
const REQUESTS = 12
/** Bytes at each place that is looked at before and after. */
const SAMPLE = 4096

export const vhdxWriting: Target = {
  name: 'vhdx-writing',
  load: vhdx.load,
  seal: vhdx.seal,

  async exercise(content, observer, seed) {
    const parent = await VhdxDevice.open(new MemoryDevice(await parentImage, { readOnly: true }))
    const file = SparseFile.of(content)
    const before = await observer.attempt(() => VhdxDevice.open(SparseFile.of(content), { parent }))
    const samples = before && (await readSamples(before))
    const disk = await observer.attempt(() => VhdxDevice.openForWriting(file, { parent }))
    observer.claim(before !== undefined || disk === undefined, 'what cannot be read can be written')
    if (disk === undefined || before === undefined) {
      if (before?.log !== 'replayed') observer.claim(file.toBuffer().equals(content), 'it was refused, and changed')
      return
    }
    const model = await writeBoth(disk, samples!, observer, new Random(seed.name))
    await expectLike(disk, model, observer)
    if ((await observer.attempt(() => disk.flush().then(() => true))) === true) {
      await expectLike(await VhdxDevice.open(file.copy(), { parent }), model, observer)
    }
    await observer.attempt(() => disk.close())
    const after = await VhdxDevice.open(file, { parent })
    await expectLike(after, model, observer)
    const isChanged = after.header.dataWriteGuid !== before.header.dataWriteGuid
    const { summary } = await checkVhdx(file)
    observer.claim(!isChanged || (after.log === 'clean' && summary.errors === 0), 'it was damaged, and was written')
  },
}

/** What the disk has to read as, where that is known. */
interface Model {
  readonly content: SparseFile
  readonly known: readonly Range[]
  /** What was written, zeroed or trimmed and answered. */
  readonly written: readonly Range[]
  /** What a request that failed may have changed. */
  readonly unsure: readonly Range[]
}

/** Bytes here and there; undefined where they cannot be read. */
async function readSamples(disk: BlockDevice): Promise<Map<number, Buffer>> {
  const samples = new Map<number, Buffer>()
  const { blockSize } = (disk as VhdxDevice).geometry
  for (let n = 0; n < 12; n++) {
    for (const offset of [n * blockSize, Math.floor((disk.size / 12) * n), n * blockSize + 65_000]) {
      const bytes = Buffer.alloc(Math.min(SAMPLE, Math.max(0, disk.size - offset)))
      try {
        if (bytes.length > 0) await disk.read(offset, bytes)
        samples.set(offset, bytes)
      } catch (error) {
        if (!(error instanceof DiskImageError)) throw error
      }
    }
  }
  return samples
}

async function writeBoth(
  disk: VhdxDevice,
  samples: Map<number, Buffer>,
  observer: Observer,
  random: Random,
): Promise<Model> {
  const content = new SparseFile()
  content.cut(disk.size)
  for (const [offset, bytes] of samples) content.put(offset, bytes)
  const known = [...samples].map(([offset, { length }]) => ({ offset, length }))
  const [written, unsure]: Range[][] = [[], []]
  const { geometry, metadata, size, sectorSize } = disk
  const kind: DiskKind = {
    size,
    sectorSize,
    blockSize: geometry.blockSize,
    isFixed: metadata.leaveBlocksAllocated,
    grain: 1,
  }
  for (let n = 0; n < REQUESTS; n++) {
    const request = randomRequest(kind, random)
    const changed = request.verb === 'trim' ? trimmed(request, kind) : request
    const isDone = await observer.attempt(() => perform(disk, request).then(() => true))
    if (n % 4 === 3) await observer.attempt(() => disk.flush())
    if (isDone === undefined) unsure!.push(changed)
    else written!.push(changed)
    if (request.verb === 'write') content.put(request.offset, request.bytes!)
    else content.clear(changed.offset, changed.length)
  }
  return { content, known, written: written!, unsure: unsure! }
}

async function expectLike(
  disk: BlockDevice,
  { content, known, written, unsure }: Model,
  observer: Observer,
): Promise<void> {
  for (const range of [
    ...known,
    ...written.map(({ offset, length }) => ({ offset, length: Math.min(length, 65_536) })),
  ]) {
    if (range.length === 0 || unsure.some(other => intersect(range, other) !== undefined)) continue
    const [now, expected] = [Buffer.alloc(range.length), Buffer.alloc(range.length)]
    await disk.read(range.offset, now)
    await content.read(range.offset, expected)
    observer.claim(now.equals(expected), `other bytes at ${range.offset} + ${range.length}`)
    observer.note(now)
  }
}
