/** Used space of volumes that mkntfs and ntfs-3g made, against what ntfsinfo and ntfsclone find used. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { writeFiles } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { run } from '../helpers/run.ts'
import { describeWith } from '../helpers/tools.ts'
import { fragment, makeVolume, onlyRanges, survey, type VolumeOptions, volumeTools, withMounted } from './volumes.ts'

const MiB = 1024 ** 2

/**
 * Surveys the volume in the file `path`. $Bitmap and runlists agree, as many clusters are used as ntfsinfo says, and a
 * copy of the used ranges is to the byte what ntfsclone makes of it, tail aside.
 */
async function surveyLikeNtfsclone(path: string) {
  const bytes = await readFile(path)
  const found = await survey(bytes)
  const { volume, space, ranges, codes } = found
  const { clusterSize, clusterCount } = volume.geometry
  expect(codes).toEqual([])
  expect(volume.hazards).toEqual([])

  const info = (await run('ntfsinfo', ['-m', path])).stdout
  const free = Number(/Free Clusters: (\d+)/.exec(info)![1])
  expect(space.clusters).toEqual({ size: clusterSize, total: clusterCount, used: clusterCount - free })

  await run('ntfsclone', ['--output', `${path}.clone`, path])
  const clone = await readFile(`${path}.clone`)
  const copy = onlyRanges(bytes, ranges)
  const end = clusterCount * clusterSize
  expect(copy.subarray(0, end).equals(clone.subarray(0, end))).toBe(true)
  expect(copy.subarray(end).equals(bytes.subarray(end))).toBe(true)

  expect(ranges.reduce((sum, { length }) => sum + length, 0)).toBe(space.usedBytes)
  for (const [i, range] of ranges.entries()) {
    if (i > 0) expect(range.offset).toBeGreaterThan(ranges[i - 1]!.offset + ranges[i - 1]!.length)
  }
  return found
}

describeWith([...volumeTools, 'ntfsinfo', 'ntfsclone'], 'the clusters that ntfsclone takes, and no other', () => {
  const shapes: (VolumeOptions & { name: string })[] = [
    { name: 'clusters of 512 bytes', clusterSize: 512, size: 16 * MiB },
    { name: 'clusters of 4 KiB, with sectors after the last one', clusterSize: 4096, size: 24 * MiB + 5 * 512 },
    { name: 'clusters of 64 KiB', clusterSize: 64 * 1024, size: 48 * MiB },
    { name: 'clusters of 2 MiB', clusterSize: 2 * MiB, size: 161 * MiB },
    { name: 'sectors of 4096 bytes', sectorSize: 4096, clusterSize: 4096, size: 24 * MiB },
    { name: 'compressed files', compressed: true, size: 16 * MiB },
  ]
  test.each(shapes)('$name', async ({ name, ...options }) => {
    await using files = await scratch()
    const path = files.path('volume')
    await makeVolume(path, options)
    await withMounted(path, async folder => {
      await writeFiles(folder)
      await writeFile(join(folder, 'text'), 'words that compress well, '.repeat(20_000))
    })
    const { volume } = await surveyLikeNtfsclone(path)
    expect(volume.geometry.clusterSize).toBe(options.clusterSize ?? 4096)
    expect(volume.geometry.sectorSize).toBe(options.sectorSize ?? 512)
    expect(volume.geometry.recordSize).toBe(options.sectorSize ?? 1024)
    const text = (await run('ntfsinfo', ['-F', 'text', path])).stdout
    expect(text.includes('COMPRESSED')).toBe(options.compressed ?? false)
    expect(volume.label).toBe('Test')
    expect(volume.version).toBe('3.1')
  })

  test('$MFT in hundreds of runs, over several records; many links; files in pieces', async () => {
    await using files = await scratch()
    const path = files.path('volume')
    await makeVolume(path, { clusterSize: 512 })
    await withMounted(path, async folder => fragment(folder))
    const info = (await run('ntfsinfo', ['-i', '0', path])).stdout
    expect(info).toContain('$ATTRIBUTE_LIST')
    await surveyLikeNtfsclone(path)
  })
})
