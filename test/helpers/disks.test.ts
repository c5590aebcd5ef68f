import { open } from 'node:fs/promises'
import { expect } from 'vitest'
import {
  buildDisk,
  countStale,
  diskTools,
  exfat,
  fat,
  fillNtfs,
  hashNtfs,
  leaveStale,
  ntfs,
  writeFiles,
} from './disks.ts'
import { scratch } from './folders.ts'
import { describeWith, run, testWith } from './tools.ts'

const MiB = 1024 ** 2

describeWith(diskTools, 'disks made by other tools', () => {
  for (const sectorSize of [512, 4096] as const) {
    testWith(['mmls'], `GPT with FAT, NTFS and exFAT, sectors of ${sectorSize}`, async () => {
      await using folder = await scratch()
      const path = folder.path('disk.raw')
      const places = await buildDisk(path, {
        size: 160 * MiB,
        table: 'gpt',
        sectorSize,
        partitions: [
          {
            size: 64 * MiB,
            type: 'ef00',
            name: 'EFI',
            content: [fat({ bits: 16, files: { 'EFI/Boot/a.txt': 'hello' } })],
          },
          { size: 64 * MiB, type: '0700', content: [ntfs(), fillNtfs(leaveStale), fillNtfs(writeFiles)] },
          { type: '0700', content: [exfat()] },
        ],
      })
      expect(places.map(({ offset }) => offset)).toEqual([MiB, 65 * MiB, 129 * MiB])
      expect(Object.keys(await hashNtfs(places[1]!))).toContain('a/deep/er/folder/large.bin')
      expect(await countStale(path)).toBeGreaterThan(1000)
      const listing = await run('mmls', ['-b', `${sectorSize}`, path])
      expect(listing.stdout).toContain('GUID Partition Table')
    })
  }

  testWith(['mmls'], 'MBR with one active NTFS partition', async () => {
    await using folder = await scratch()
    const path = folder.path('disk.raw')
    await buildDisk(path, {
      size: 32 * MiB,
      table: 'mbr',
      partitions: [{ type: '07', active: true, content: [ntfs()] }],
    })
    expect((await run('mmls', [path])).stdout).toMatch(/0000002048 {3}0000063487 {3}0000061440 {3}NTFS/)
    const file = await open(path)
    const { buffer } = await file.read(Buffer.alloc(3), 0, 3, MiB).finally(() => file.close())
    expect(buffer.toString('hex')).toBe('eb5290')
  })
})
