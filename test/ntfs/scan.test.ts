/** The two ways to all files, by $MFT and by the directories, lead to the same. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import type { Finding } from '../../lib/finding.ts'
import { loadBootSector } from '../../lib/ntfs/boot-sector.ts'
import { EntryReader } from '../../lib/ntfs/entry-reader.ts'
import { FileScan } from '../../lib/ntfs/file-scan.ts'
import { FileTree } from '../../lib/ntfs/file-tree.ts'
import { Mft } from '../../lib/ntfs/mft.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { collect } from '../helpers/collect.ts'
import { isOrphan, testEachImage } from '../helpers/corpus.ts'
import { testWith } from '../helpers/tools.ts'
import { describeAll, scan, walk } from './listing.ts'
import { openBytes, volumeBytes, volumeTools } from './volumes.ts'

testEachImage('ntfs', async image => {
  await using disk = await FileDevice.open(await image.unpack())
  for (const { startSector, sectors, files: expected } of image.expected().partitions) {
    const volume = await NtfsVolume.open(new SliceDevice(disk, { offset: startSector * 512, length: sectors * 512 }))
    const files = await volume.openFiles()
    for (const system of [false, true]) {
      const walked = describeAll(await walk(files, await files.stat('/'), system))
      const orphans = expected!.filter(isOrphan).map(({ path }) => `/${path}`)
      const found = await scan(files, system)
      // What only its record says to be in a directory is found, too.
      expect(found.map(({ path }) => path)).toEqual(expect.arrayContaining(orphans))
      expect(describeAll(found.filter(({ path }) => !orphans.includes(path)))).toEqual(walked)
    }
  }
})

const FILES = 2_500

testWith(volumeTools, 'files that come before their directories in $MFT are found, however many wait', async () => {
  const bytes = await volumeBytes({ size: 16 * 1024 ** 2 }, async folder => {
    for (let i = 0; i < FILES; i++) writeFileSync(join(folder, `${i}`), '')
    mkdirSync(join(folder, 'inner'))
    mkdirSync(join(folder, 'outer'))
    for (let i = 0; i < FILES; i++) renameSync(join(folder, `${i}`), join(folder, 'inner', `${i}`))
    renameSync(join(folder, 'inner'), join(folder, 'outer/inner'))
  })
  const files = await (await openBytes(bytes)).openFiles()
  const walked = describeAll(await walk(files, await files.stat('/')))
  expect(walked.length).toBe(FILES + 2)
  expect(describeAll(await scan(files))).toEqual(walked)

  const tree = await FileTree.open(await Mft.open(device(bytes), await loadBootSector(device(bytes), 0), []))
  const findings: Finding[] = []
  const reader = new EntryReader(tree.mft, new Map())
  const byPiece = async (mostWaiting: number) => {
    const options = { listed: 5, system: false, signal: undefined, mostWaiting }
    return await collect(new FileScan(tree, reader, options, findings).batches())
  }
  // They lie in several pieces of $MFT, and the directories in the last: until then all wait, or none.
  const [late, early] = [await byPiece(FILES), await byPiece(10)]
  expect(late.slice(0, -1).flat()).toEqual([])
  expect(late.at(-1)!.length).toBe(FILES + 2)
  expect(early[0]!.length).toBeGreaterThan(100)
  expect(describeAll(early.flat())).toEqual(walked)
  expect(findings).toEqual([])
})

const device = (bytes: Buffer) => new MemoryDevice(bytes, { readOnly: true })
