/** Volumes of more clusters than one window holds. */
import { open, stat, truncate, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { WINDOW_CLUSTERS } from '../../lib/ntfs/cluster-bitmap.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { collect } from '../helpers/collect.ts'
import { scratch } from '../helpers/folders.ts'
import { run } from '../helpers/run.ts'
import { describeWith } from '../helpers/tools.ts'
import { volumeTools } from './volumes.ts'

const GiB = 1024 ** 3
/** $MFTMirr lies in the middle of a volume, and so in the second window of this one. */
const SIZE = 140 * GiB
const CLUSTER = 512

describeWith(volumeTools, 'a volume of three windows', () => {
  test('is surveyed like a small one, and a cluster in a later window is not lost', async () => {
    await using files = await scratch()
    const path = files.path('volume')
    await writeFile(path, '')
    await truncate(path, SIZE)
    await run('mkntfs', ['-F', '-Q', '-q', '-s', '512', '-c', `${CLUSTER}`, '-p', '0', '-H', '0', '-S', '0', path])
    expect(SIZE / CLUSTER / WINDOW_CLUSTERS).toBeGreaterThan(2)

    const before = await survey(path)
    expect(before.space.findings).toEqual([])
    const info = (await run('ntfsinfo', ['-m', path])).stdout
    const free = Number(/Free Clusters: (\d+)/.exec(info)![1])
    expect(before.space.clusters!.used).toBe(before.space.clusters!.total - free)
    expect(before.ranges.at(-1)!.offset + before.ranges.at(-1)!.length).toBe((await stat(path)).size)
    expect(before.ranges.reduce((sum, { length }) => sum + length, 0)).toBe(before.space.usedBytes)

    const mirror = before.mftMirrLcn
    expect(mirror).toBeGreaterThan(WINDOW_CLUSTERS)
    await flipBit(path, before.bitmapOffset, mirror + 1)
    const after = await survey(path)
    expect(after.space.findings).toMatchObject([
      { code: 'NTFS_OWNED_BUT_FREE', message: expect.stringContaining(`cluster ${mirror + 1} of record 1`) },
    ])
    expect(after.ranges).toEqual(before.ranges)
    expect(after.space.usedBytes).toBe(before.space.usedBytes)
  })
})

async function survey(path: string) {
  await using disk = await FileDevice.open(path)
  const volume = await NtfsVolume.open(disk)
  const space = await volume.usedSpace()
  const ranges = await collect(space.ranges())
  const { mftLcn, mftMirrLcn } = volume.geometry
  const record = Buffer.alloc(1024)
  await disk.read(mftLcn * CLUSTER + 6 * 1024, record)
  let data = record.readUInt16LE(0x14)
  while (record.readUInt32LE(data) !== 0x80) data += record.readUInt32LE(data + 4)
  const runList = data + record.readUInt16LE(data + 0x20)
  const lcn = record.readUIntLE(runList + 1 + (record[runList]! & 15), record[runList]! >>> 4)
  return { space, ranges, mftMirrLcn, bitmapOffset: lcn * CLUSTER }
}

async function flipBit(path: string, bitmapOffset: number, cluster: number): Promise<void> {
  await using file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  const offset = bitmapOffset + Math.floor(cluster / 8)
  await file.read(byte, 0, 1, offset)
  byte[0]! ^= 1 << (cluster % 8)
  await file.write(byte, 0, 1, offset)
}
