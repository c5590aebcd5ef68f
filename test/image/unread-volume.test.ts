import { expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { FormatError } from '../../lib/errors.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { damagedVolume, openVolume } from '../../lib/image/open-volume.ts'
import { describeVolume } from '../../lib/image/unread-volume.ts'
import { makeFat } from '../fat/make-fat.ts'
import { corpusImage } from '../helpers/corpus.ts'
import { testWith } from '../helpers/tools.ts'

const withBytes = (offset: number, text: string) => {
  const device = new MemoryDevice(200_000)
  device.content.write(text, offset, 'latin1')
  return device
}

test.each([
  [withBytes(3, '-FVE-FS-'), '', 'BitLocker', 'manage-bde'],
  [withBytes(3, 'ReFS\0\0\0\0'), '', 'ReFS', 'Windows'],
  [new MemoryDevice(200_000), '0x42', 'LDM', 'ldmtool'],
  [new MemoryDevice(200_000), '0xe7', 'Storage Spaces', 'virtual disk'],
  [withBytes(536, 'LVM2 001'), '', 'LVM2', 'vgchange'],
  [withBytes(4086, 'SWAPSPACE2'), '', 'Linux swap', 'holds no files'],
  [withBytes(1024 + 0x38, '\x53\xef'), '', 'ext2', 'Linux'],
  [new MemoryDevice(200_000), 'e3c9e316-0b5c-4db8-817d-f92df00215ae', 'none', 'holds no files'],
  [new MemoryDevice(200_000), '', 'unknown', 'partition'],
])('opening its files says what it is and what to do: %#', async (device, typeId, fileSystem, advice) => {
  const volume = await openVolume(device, typeId)
  const error = await volume.openFiles().catch(error => error)
  expect(error).toMatchObject({ name: 'UnsupportedError', code: 'FILES_NOT_READ', details: { fileSystem } })
  expect(error.message).toContain(describeVolume(fileSystem))
  expect(error.details.advice).toContain(advice)
})

test('a damaged file system says why, and keeps the kind of error', async () => {
  const cut = new MemoryDevice(makeFat(32).disk.content.subarray(0, -512))
  const cause = await openVolume(cut).catch(error => error)
  const error = await damagedVolume(cut, cause)
    .openFiles()
    .catch(error => error)
  expect(error).toBeInstanceOf(FormatError)
  expect(error).toMatchObject({ name: 'FormatError', code: 'DAMAGED_FILE_SYSTEM', details: cause.details })
  expect(error.message).toContain(cause.message)
  expect(error.cause).toBe(cause)
})

/** Real images, and what their first volume is. */
const REAL: readonly [image: string, fileSystem: string][] = [
  ['bitlocker/util-linux-blkid/bitlocker-win7.img', 'BitLocker'],
  ['bitlocker/cryptsetup/bitlk-aes-xts-128.img', 'BitLocker'],
  ['vhdx/DiscUtils/swap.vhdx', 'Linux swap'],
  ['vhdx/DiscUtils/xfs5.vhdx', 'XFS'],
]

for (const [name, fileSystem] of REAL) {
  testWith(['corpus'], `${name}: ${fileSystem}`, async () => {
    const image = corpusImage(name)
    await using opened = await openDisk(await image.unpack())
    const partition = image.expected().partitions[0]
    const offset = (partition?.startSector ?? 0) * 512
    const length = partition ? partition.sectors * 512 : opened.disk.size
    const volume = await openVolume(new SliceDevice(opened.disk, { offset, length }))
    expect(volume.fileSystem).toBe(fileSystem)
    await expect(volume.openFiles()).rejects.toMatchObject({ code: 'FILES_NOT_READ', details: { fileSystem } })
  })
}
