/** Directories: every name that independent tools list, in the volume's order, and found again by descent. */
import { expect } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { loadBootSector } from '../../lib/ntfs/boot-sector.ts'
import { isShortName } from '../../lib/ntfs/file-name.ts'
import { FileTree, ROOT } from '../../lib/ntfs/file-tree.ts'
import { AttributeType, type FileReference } from '../../lib/ntfs/format.ts'
import { Mft } from '../../lib/ntfs/mft.ts'
import { NtfsFile } from '../../lib/ntfs/ntfs-file.ts'
import { collect } from '../helpers/collect.ts'
import { isOrphan, testEachImage } from '../helpers/corpus.ts'

/** The root's name for itself, and what the tool whose list this is leaves out since it is as large as the volume. */
const UNLISTED = ['.', '$BadClus']

testEachImage('ntfs', async image => {
  await using disk = await FileDevice.open(await image.unpack())
  for (const { startSector, sectors, files, dirs } of image.expected().partitions) {
    const volume = new SliceDevice(disk, { offset: startSector * 512, length: sectors * 512 })
    const tree = await FileTree.open(await Mft.open(volume, await loadBootSector(volume, 0), []))
    const listed = files!.filter(file => !file.path.includes(':') && !isOrphan(file)).map(({ path }) => path)
    const expected = [...listed, ...dirs!]
    expect((await pathsBelow(tree, ROOT, '')).sort()).toEqual(expected.sort())
  }
})

/** The paths of everything in a directory and below, each name looked up too, in the case it has and in another. */
async function pathsBelow(tree: FileTree, reference: FileReference, path: string): Promise<string[]> {
  const directory = await tree.directory(reference)
  const entries = await collect(directory.entries())
  for (const [i, { fileName }] of entries.entries()) {
    if (i > 0) expect(tree.upcase.compare(entries[i - 1]!.fileName.name, fileName.name)).toBeLessThanOrEqual(0)
  }
  const found: string[] = []
  for (const entry of entries) {
    const { name } = entry.fileName
    expect(await directory.find(name)).toEqual(entry)
    expect((await directory.find(name.toLowerCase()))?.reference).toEqual(entry.reference)
    expect(await directory.find(`${name} `)).toBeUndefined()
    if (isShortName(entry.fileName) || UNLISTED.includes(name)) continue
    const file = await NtfsFile.open(tree.mft, entry.reference)
    if (file.base.directory) {
      found.push(path + name, ...(await pathsBelow(tree, entry.reference, `${path}${name}/`)))
    } else if (file.find(AttributeType.data).length > 0) {
      // The tool whose list this is leaves out files that have streams with names only.
      found.push(path + name)
    }
  }
  return found
}
