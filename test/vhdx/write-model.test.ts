/** The disk in an image beside a buffer to which the same is done: whatever is asked for, in any order and at the same time. */
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { Random } from '../fuzz/random.ts'
import { RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { type DiskKind, perform, randomRequests, trimmed } from './disk-requests.ts'
import { type Layers, layersOfEveryKind, makeChain } from './writable-chains.ts'

/** The first byte at which the two differ. */
async function firstDifference(disk: BlockDevice, model: BlockDevice): Promise<number | undefined> {
  const [ours, theirs] = [Buffer.alloc(MiB), Buffer.alloc(MiB)]
  for (let offset = 0; offset < disk.size; offset += MiB) {
    const length = Math.min(MiB, disk.size - offset)
    await disk.read(offset, ours.subarray(0, length))
    await model.read(offset, theirs.subarray(0, length))
    if (!ours.equals(theirs)) return offset + ours.findIndex((byte, at) => byte !== theirs[at])
  }
  return undefined
}

async function compare(name: string, layers: Layers, steps: number): Promise<void> {
  const random = new Random(name)
  const { file, parent } = await makeChain(layers)
  const medium = new RecordingDevice(file, { random })
  let disk = await VhdxDevice.openForWriting(medium, { parent })
  const model = new SparseFile()
  await model.resize(disk.size)
  const initial = Buffer.alloc(MiB)
  for await (const { offset, length } of disk.dataRanges()) {
    for (let done = 0; done < length; done += MiB) {
      const piece = initial.subarray(0, Math.min(MiB, length - done))
      await disk.read(offset + done, piece)
      model.put(offset + done, piece)
    }
  }
  const { blockSize } = disk.geometry
  const kind: DiskKind = {
    size: disk.size,
    sectorSize: disk.sectorSize,
    blockSize,
    isFixed: disk.metadata.leaveBlocksAllocated,
    grain: 1,
  }
  for (let step = 0; step < steps; step++) {
    const requests = randomRequests(kind, 1 + random.below(6), 1, random)
    const work = requests.map(async request => {
      await perform(disk, request)
      if (request.verb === 'write') {
        const read = Buffer.alloc(request.length)
        await disk.read(request.offset, read)
        expect(read.equals(request.bytes!)).toBe(true)
      }
    })
    if (random.onceIn(3)) work.push(disk.flush())
    await Promise.all(work)
    for (const request of requests) {
      if (request.verb === 'write') model.put(request.offset, request.bytes!)
      else {
        const { offset, length } = request.verb === 'zero' ? request : trimmed(request, kind)
        await model.zero(offset, length)
      }
    }
    if (random.onceIn(6)) {
      if (random.onceIn(2)) {
        await disk.close()
        const { problems } = await checkVhdx(medium.content)
        expect(problems.filter(({ severity }) => severity !== 'note')).toEqual([])
      }
      // Not closed: what was written is in the file, and some of it in its log only.
      else await disk.flush()
      expect(await firstDifference(disk, model)).toBe(undefined)
      disk = await VhdxDevice.openForWriting(medium, { parent })
    }
  }
  expect(await firstDifference(disk, model)).toBe(undefined)
  await disk.close()
  expect(await firstDifference(await VhdxDevice.open(medium, { parent }), model)).toBe(undefined)
}

describe('a disk that is written reads like a buffer', () => {
  for (const sectorSize of [512, 4096]) {
    for (const [name, layers] of layersOfEveryKind(sectorSize)) {
      test(`${name}, sectors of ${sectorSize} bytes`, () => compare(`${name} ${sectorSize}`, layers, 150))
    }
    for (let mebibytes = 2; mebibytes <= 256; mebibytes *= 2) {
      test(`blocks of ${mebibytes} MiB, sectors of ${sectorSize} bytes`, async () => {
        const kinds = layersOfEveryKind(sectorSize, mebibytes * MiB)
        for (const name of ['dynamic', 'differencing, two deep']) {
          await compare(`${name} ${sectorSize} ${mebibytes}`, kinds.get(name)!, mebibytes < 64 ? 30 : 8)
        }
      })
    }
  }
})
