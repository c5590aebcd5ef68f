/** Second copies on the way to the files: each serves when the first is bad, and is reported. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { openVolume } from '../../lib/image/open-volume.ts'
import type { PartitionTable } from '../../lib/partition/partition.ts'
import { readPartitionTable } from '../../lib/partition/partition-table.ts'
import { collect } from '../helpers/collect.ts'
import { buildDisk, diskTools, exfat, fillNtfs, ntfs, type Place, putBytes } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith } from '../helpers/tools.ts'

const MiB = 2 ** 20
const CONTENT = pattern(20_000)

describeWith([...diskTools], 'the first copy is bad', () => {
  let folder: Scratch
  let path: string
  let places: Place[]

  beforeAll(async () => {
    folder = await scratch()
    path = folder.path('disk')
    places = await buildDisk(path, {
      size: 40 * MiB,
      table: 'gpt',
      partitions: [
        {
          type: '0700',
          size: 20 * MiB,
          content: [ntfs(), fillNtfs(mountPoint => writeFile(join(mountPoint, 'file'), CONTENT))],
        },
        { type: '0700', content: [exfat()] },
      ],
    })
    return () => folder[Symbol.asyncDispose]()
  })

  /** Opens partition `index` down to its files, and lists all findings. */
  async function open(index: number) {
    await using disk = await FileDevice.open(path)
    const table: PartitionTable = await readPartitionTable(disk)
    const { offset, size, typeId } = table.partitions[index]!
    const volume = await openVolume(new SliceDevice(disk, { offset, length: size }), typeId)
    const files = await volume.openFiles()
    const root = await files.stat('/')
    const names = (await collect(files.list(root))).map(({ name }) => name)
    const content = names.includes('file') ? Buffer.alloc(CONTENT.length) : undefined
    if (content !== undefined) await (await files.open(await files.stat('/file'))).read(0, content)
    const codes = [...table.findings, ...volume.findings, ...files.findings].map(({ code }) => code)
    return { fileSystem: volume.fileSystem, codes, content }
  }

  const damage = (offset: number, length: number) => putBytes(offset, Buffer.alloc(length, 0xa5))

  // One after the other, on one disk: at the end all of them serve at once.
  test('the whole disk, before', async () => {
    expect(await open(0)).toEqual({ fileSystem: 'NTFS', codes: [], content: CONTENT })
    expect(await open(1)).toMatchObject({ fileSystem: 'exFAT', codes: [] })
  })

  test('the GPT', async () => {
    await damage(512, 512)({ ...places[0]!, offset: 0 })
    expect(await open(0)).toEqual({ fileSystem: 'NTFS', codes: ['GPT_PRIMARY_DAMAGED'], content: CONTENT })
  })

  test('the boot sector of NTFS', async () => {
    await damage(0, 60)(places[0]!)
    const codes = ['GPT_PRIMARY_DAMAGED', 'NTFS_BACKUP_BOOT_SECTOR_USED']
    expect(await open(0)).toEqual({ fileSystem: 'NTFS', codes, content: CONTENT })
  })

  test('$MFT, of which $MFTMirr has the first records', async () => {
    await using disk = await FileDevice.open(path)
    const boot = Buffer.alloc(512)
    await disk.read(places[0]!.offset + places[0]!.length - 512, boot)
    await damage(Number(boot.readBigUInt64LE(0x30)) * 4096, 1024)(places[0]!)
    const codes = ['GPT_PRIMARY_DAMAGED', 'NTFS_BACKUP_BOOT_SECTOR_USED', 'NTFS_MFT_MIRROR_USED']
    expect(await open(0)).toEqual({ fileSystem: 'NTFS', codes, content: CONTENT })
  })

  test('the boot region of exFAT', async () => {
    await damage(64, 8)(places[1]!)
    const codes = ['GPT_PRIMARY_DAMAGED', 'EXFAT_BACKUP_BOOT_USED']
    expect(await open(1)).toMatchObject({ fileSystem: 'exFAT', codes })
  })
})
