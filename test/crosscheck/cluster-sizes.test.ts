/** NTFS with the smallest and the largest clusters that mkntfs makes, on a disk without a partition table. */
import { expect } from 'vitest'
import { vhdxJson } from '../helpers/cli.ts'
import { buildDisk, countStale, diskTools, fillNtfs, hashNtfs, leaveStale, ntfs, writeFiles } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { run, testWith } from '../helpers/tools.ts'

const KiB = 1024
const MiB = 1024 ** 2

for (const [clusterSize, size] of [
  [512, 64 * MiB],
  [64 * KiB, 128 * MiB],
  [2 * MiB, 1024 * MiB],
] as const) {
  testWith([...diskTools, 'qemu-img'], `ours → qemu-img → ntfs-3g: clusters of ${clusterSize} bytes`, async () => {
    await using folder = await scratch()
    const [disk, image, copy] = [folder.path('disk.raw'), folder.path('image.vhdx'), folder.path('copy.raw')]
    const content = [ntfs({ clusterSize }), fillNtfs(leaveStale), fillNtfs(writeFiles)]
    const [place] = await buildDisk(disk, { size, table: 'none', partitions: [{ type: '07', content }] })
    const { warnings } = await vhdxJson('capture', disk, image)
    expect(warnings).toEqual([])
    await run('qemu-img', ['convert', '-O', 'raw', image, copy])
    expect(await hashNtfs({ ...place!, path: copy })).toEqual(await hashNtfs(place!))
    expect(await countStale(disk)).toBeGreaterThan(1000)
    expect(await countStale(image)).toBe(0)
  })
}
