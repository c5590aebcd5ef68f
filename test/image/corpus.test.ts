/** Volumes by Windows and others: all files are found in the used ranges alone, and used clusters are as others count them. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { openVolume } from '../../lib/image/open-volume.ts'
import { readPartitionTable } from '../../lib/partition/partition-table.ts'
import type { Volume } from '../../lib/volume/volume.ts'
import { collect } from '../helpers/collect.ts'
import { corpusImage, type ExpectedPartition, testEachImage } from '../helpers/corpus.ts'
import { hashTree } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { run, testWith, whatIsMissing } from '../helpers/tools.ts'
import { writeUsedOnly } from '../helpers/used-only.ts'

/** Used clusters as fsck.fat -v and dump.exfat count them (fat32_loop: before fsck.fat takes the loop apart). */
const COUNTED: Readonly<Record<string, { label?: string; total: number; used: number }>> = {
  'fat12.raw': { total: 2036, used: 517 },
  'fat16.raw': { total: 6123, used: 517 },
  'fat32_loop.raw': { total: 129_022, used: 101 },
  'fat_unusual_cluster.raw': { total: 31, used: 1 },
  'fat32_xp_label1.img': { label: 'LABEL1', total: 66_512, used: 1 },
  'exfat_win.raw': { label: 'test123', total: 12_032, used: 6514 },
}

/** Files with content, as `path` → SHA-256: tsk_recover leaves empty ones out. */
const filesOf = ({ files = [] }: ExpectedPartition) =>
  Object.fromEntries(files.filter(({ size }) => size > 0).map(({ path, sha256 }) => [path, sha256]))

/**
 * What the sleuthkit recovers from nothing but the used ranges of the volume: files with content, as `path` → SHA-256.
 * `top`: only what is in this folder of the root, because a search for lost files takes long in large volumes.
 */
async function recovered(device: SliceDevice, volume: Volume, top?: string): Promise<Record<string, string>> {
  await using folder = await scratch()
  const copy = folder.path('copy')
  await writeUsedOnly(device, await volume.usedSpace(), copy)
  const target = folder.path('files')
  await mkdir(join(target, top ?? ''), { recursive: true })
  if (top === undefined) await run('tsk_recover', ['-a', copy, target])
  else {
    const { stdout } = await run('fls', ['-D', copy])
    const inode = new RegExp(`(\\d+):\\s${top}$`, 'm').exec(stdout)![1]!
    await run('tsk_recover', ['-a', '-d', inode, copy, join(target, top)])
  }
  const files = Object.entries(await hashTree(target)).filter(([, what]) => what !== 'folder')
  return Object.fromEntries(files.map(([path, what]) => [path, what.split(' ')[1]!]))
}

testEachImage('fat-exfat-refs', async image => {
  await using opened = await openDisk(await image.unpack())
  expect(await readPartitionTable(opened.disk)).toMatchObject({ type: 'none', findings: [] })
  const [partition] = image.expected().partitions
  const device = new SliceDevice(opened.disk, { offset: 0, length: opened.disk.size })
  const volume = await openVolume(device)
  const { label, ...clusters } = COUNTED[image.expected().file]!
  expect(volume).toMatchObject({ fileSystem: partition!.fs, label, hazards: [], findings: [] })
  expect(await volume.usedSpace()).toMatchObject({ clusters: { size: volume.clusterSize, ...clusters }, findings: [] })
  if (whatIsMissing(['tsk_recover']) === undefined) expect(await recovered(device, volume)).toEqual(filesOf(partition!))
})

testEachImage('bitlocker', async image => {
  await using opened = await openDisk(await image.unpack())
  expect(await readPartitionTable(opened.disk)).toMatchObject({ type: 'none', findings: [] })
  const volume = await openVolume(opened.disk)
  expect(volume).toMatchObject({ fileSystem: 'BitLocker', findings: [{ code: 'WHOLE_COPY' }] })
  expect(await collect((await volume.usedSpace()).ranges())).toEqual(await collect(opened.disk.dataRanges()))
})

testEachImage('vhdx', async image => {
  const { logReplayedBy, partitions } = image.expected()
  if (logReplayedBy !== undefined) return
  await using opened = await openDisk(await image.unpack())
  for (const { startSector, sectors, fs, usedClusters, totalClusters } of partitions) {
    const volume = await openVolume(new SliceDevice(opened.disk, { offset: startSector * 512, length: sectors * 512 }))
    if (fs !== null) expect(volume.fileSystem).toBe(fs)
    if (usedClusters === undefined) continue
    expect((await volume.usedSpace()).clusters).toMatchObject({ used: usedClusters, total: totalClusters })
  }
})

testWith(['corpus', 'fls', 'tsk_recover'], 'exFAT of 127 GiB by Windows: 1400 files of one folder', async () => {
  const image = corpusImage('vhdx/ExFat/exFAT.vhdx')
  await using opened = await openDisk(await image.unpack())
  const partition = image.expected().partitions[1]!
  const place = { offset: partition.startSector * 512, length: partition.sectors * 512 }
  const device = new SliceDevice(opened.disk, place)
  const volume = await openVolume(device)
  expect(volume).toMatchObject({ fileSystem: 'exFAT', label: 'Some ExFAT', hazards: [], findings: [] })
  const files = Object.entries(filesOf(partition)).filter(([path]) => path.startsWith('Big folder/'))
  expect(files).toHaveLength(1400)
  expect(await recovered(device, volume, 'Big folder')).toEqual(Object.fromEntries(files))
})
