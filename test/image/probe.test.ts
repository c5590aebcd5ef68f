import { truncate, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { openVolume } from '../../lib/image/open-volume.ts'
import { probeContainer, probeVolume, VOLUME_HEAD_LENGTH } from '../../lib/image/probe.ts'
import { scratch } from '../helpers/folders.ts'
import { run, type Tool, testWith } from '../helpers/tools.ts'

const MiB = 2 ** 20

/** `pieces`, at their offsets in zeros. */
function bytesAt(length: number, pieces: Readonly<Record<number, string | Buffer>>): Buffer {
  const bytes = Buffer.alloc(length)
  for (const [offset, piece] of Object.entries(pieces))
    Buffer.from(piece as string, 'latin1').copy(bytes, Number(offset))
  return bytes
}

test.each<[string, Readonly<Record<number, string>>]>([
  ['NTFS', { 3: 'NTFS    ' }],
  ['exFAT', { 3: 'EXFAT   ' }],
  ['BitLocker', { 3: '-FVE-FS-' }],
  ['BitLocker', { 3: 'MSWIN4.1', 424: '\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01' }],
  ['ReFS', { 3: 'ReFS\0\0\0\0FSRS' }],
  ['LUKS', { 0: 'LUKS\xba\xbe\0\x02' }],
  ['XFS', { 0: 'XFSB' }],
  ['APFS', { 32: 'NXSB' }],
  ['LVM2', { 512: 'LABELONE', 536: 'LVM2 001' }],
  ['LVM2', { 1560: 'LVM2 001' }],
  ['Linux RAID', { 4096: '\xfc\x4e\x2b\xa9\x01\0\0\0' }],
  ['Linux swap', { 4086: 'SWAPSPACE2' }],
  ['Linux swap', { 65526: 'SWAPSPACE2' }],
  ['Linux swap', { 4086: 'S1SUSPEND\0' }],
  ['HFS+', { 1024: 'H+\0\x04' }],
  ['F2FS', { 1024: '\x10\x20\xf5\xf2' }],
  ['ISO 9660', { 32769: 'CD001' }],
  ['ReiserFS', { 65588: 'ReIsEr2Fs' }],
  ['btrfs', { 65600: '_BHRfS_M' }],
  ['squashfs', { 0: 'hsqs' }],
])('a volume: %s', (name, pieces) => {
  expect(probeVolume(bytesAt(VOLUME_HEAD_LENGTH, pieces))).toBe(name)
})

const MADE: readonly [string, Tool, readonly string[]][] = [
  ['ext2', 'mke2fs', ['-t', 'ext2']],
  ['ext3', 'mke2fs', ['-t', 'ext3']],
  ['ext4', 'mke2fs', ['-t', 'ext4']],
  ['ext4', 'mke2fs', ['-t', 'ext4', '-b', '1024', '-O', '^has_journal']],
  ['Linux swap', 'mkswap', []],
  ['NTFS', 'mkntfs', ['-F', '-Q', '-q']],
  ['FAT16', 'mkfs.fat', ['-F', '16']],
  ['exFAT', 'mkfs.exfat', []],
]

for (const [name, tool, args] of MADE) {
  testWith([tool], `a volume by ${[tool, ...args].join(' ')}: ${name}`, async () => {
    await using folder = await scratch()
    const path = folder.path('volume')
    await writeFile(path, '')
    await truncate(path, 16 * MiB)
    await run(tool, [...args, path])
    await using device = await FileDevice.open(path)
    expect((await openVolume(device)).fileSystem).toBe(name)
  })
}

test.each<[string, Readonly<Record<number, string>>]>([
  ['VHDX', { 0: 'vhdxfile' }],
  ['VHD', { 0: 'conectix' }],
  ['QCOW', { 0: 'QFI\xfb\0\0\0\x03' }],
  ['VMDK', { 0: 'KDMV\x01' }],
  ['VMDK', { 0: '# Disk DescriptorFile\nversion=1' }],
  ['VDI', { 0: '<<< Oracle VM VirtualBox Disk Image >>>\n', 64: '\x7f\x10\xda\xbe' }],
  ['EnCase E01', { 0: 'EVF\x09\x0d\x0a\xff\0' }],
  ['EnCase Ex01', { 0: 'EVF2\x0d\x0a\x81\0' }],
  ['ntfsclone image', { 0: '\0ntfsclone-image' }],
  ['partclone image', { 0: 'partclone-image' }],
  ['gzip', { 0: '\x1f\x8b\x08' }],
  ['xz', { 0: '\xfd7zXZ\0' }],
  ['zstd', { 0: '\x28\xb5\x2f\xfd' }],
  ['7z', { 0: "7z\xbc\xaf'\x1c" }],
  ['zip', { 0: 'PK\x03\x04' }],
  ['WIM', { 0: 'MSWIM\0\0\0' }],
])('a container: %s', (name, pieces) => {
  expect(probeContainer(bytesAt(4096, pieces), Buffer.alloc(512))).toBe(name)
})

test.each<[string | undefined, Readonly<Record<number, string>>]>([
  ['VHD', { 0: 'conectix' }],
  ['VHD', { 1: 'conectix' }],
  ['DMG', { 0: 'koly' }],
  [undefined, { 2: 'conectix' }],
])('by what it ends with: %s', (name, pieces) => {
  expect(probeContainer(Buffer.alloc(4096), bytesAt(512, pieces))).toBe(name)
})

test('an MBR, zeros and short pieces are nothing', () => {
  for (const length of [0, 1, 100, 511, 512, 1080, 2047, VOLUME_HEAD_LENGTH]) {
    const bytes = Buffer.alloc(length)
    if (length >= 512) bytes.writeUInt16LE(0xaa55, 510)
    expect(probeVolume(bytes)).toBeUndefined()
    expect(probeContainer(bytes, bytes)).toBeUndefined()
  }
})

test('no bytes make it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), content => {
      const bytes = Buffer.from(content)
      probeVolume(bytes)
      probeContainer(bytes, bytes)
    }),
  )
})
