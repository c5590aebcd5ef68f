/** The two ways to all files, by $MFT and by the directories, lead to the same. */
import { expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import type { NtfsEntry } from '../../lib/ntfs/ntfs-entry.ts'
import type { NtfsFiles } from '../../lib/ntfs/ntfs-files.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { FileAttribute } from '../../lib/volume/entry.ts'
import { collect } from '../helpers/collect.ts'
import { isOrphan, testEachImage } from '../helpers/corpus.ts'

testEachImage('ntfs', async image => {
  await using disk = await FileDevice.open(await image.unpack())
  for (const { startSector, sectors, files: expected } of image.expected().partitions) {
    const volume = await NtfsVolume.open(new SliceDevice(disk, { offset: startSector * 512, length: sectors * 512 }))
    const files = await volume.openFiles()
    for (const system of [false, true]) {
      const walked = (await walk(files, await files.stat('/'), system)).map(describe).sort()
      const orphans = expected!.filter(isOrphan).map(({ path }) => `/${path}`)
      const found = (await collect(files.scan(undefined, { system }))).flat()
      // What only its record says to be in a directory is found, too.
      expect(found.map(({ path }) => path)).toEqual(expect.arrayContaining(orphans))
      const scanned = found
        .filter(({ path }) => !orphans.includes(path))
        .map(describe)
        .sort()
      expect(scanned).toEqual(walked)
    }
  }
})

async function walk(files: NtfsFiles, directory: NtfsEntry, system: boolean): Promise<NtfsEntry[]> {
  const found: NtfsEntry[] = []
  for await (const entry of files.list(directory, { system })) {
    found.push(entry)
    if ((entry.attributes & FileAttribute.directory) !== 0) found.push(...(await walk(files, entry, system)))
  }
  return found
}

const describe = (entry: NtfsEntry) => {
  const { path, kind, size, allocatedSize, modified, created, accessed, changed, attributes, record, sequence } = entry
  const { links, streams, target, position, isSystem, error } = entry
  const times = [modified, created, accessed, changed].join()
  const rest = [
    kind,
    size,
    allocatedSize,
    times,
    attributes,
    record,
    sequence,
    links,
    target,
    position,
    isSystem,
    error,
  ]
  return [path, ...rest, ...streams.map(({ name, size }) => `${name} ${size}`)].join(' | ')
}
