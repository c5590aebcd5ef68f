import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type LinuxSystem, linuxMountsForWriting } from '../../lib/platform/linux-mounts.ts'
import { mountedReadWrite } from '../../lib/platform/mounts.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { attachLoop } from '../helpers/loop.ts'
import { describeWith, run } from '../helpers/tools.ts'

/** A system made up of files, and of devices by name. */
function systemOf(files: Record<string, string>, devices: Record<string, string>): LinuxSystem {
  return {
    read: async path => files[path] ?? '',
    list: async folder => {
      const inside = Object.keys(files).filter(path => path.startsWith(`${folder}/`))
      return [...new Set(inside.map(path => path.slice(folder.length + 1).split('/')[0]!))]
    },
    identity: async path => devices[path],
  }
}

/**
 * sda has a plain partition, one in a volume group by way of encryption, one of swap, one of btrfs and one that a loop
 * device shows; sdb is another disk.
 */
const system = systemOf(
  {
    '/sys/dev/block/8:0/size': '1000',
    '/sys/dev/block/8:0/queue/logical_block_size': '512',
    ...Object.fromEntries(
      [1, 2, 3, 4, 5].flatMap(number => [
        [`/sys/dev/block/8:0/sda${number}/partition`, `${number}\n`],
        [`/sys/dev/block/8:0/sda${number}/dev`, `8:${number}\n`],
      ]),
    ),
    '/sys/dev/block/8:2/holders/dm-0/dev': '253:0\n',
    '/sys/dev/block/253:0/holders/dm-1/dev': '253:1\n',
    '/sys/block/loop0/dev': '7:0\n',
    '/sys/block/loop0/loop/backing_file': '/dev/sda5\n',
    '/sys/block/loop1/dev': '7:1\n',
    '/sys/block/loop1/loop/backing_file': '/home/me/my disk.raw\n',
    '/sys/block/loop2/dev': '7:2\n',
    '/sys/block/sda/dev': '8:0\n',
    '/proc/self/mountinfo': [
      '22 1 253:1 / / rw,relatime shared:1 - ext4 /dev/mapper/group-root rw,discard',
      '23 22 8:1 / /boot/efi rw,relatime shared:2 - vfat /dev/sda1 rw,fmask=0077',
      '24 22 8:1 / /mnt/see\\040only ro,relatime - vfat /dev/sda1 rw,fmask=0077',
      '25 22 0:40 /home /home rw shared:4 master:1 - btrfs /dev/sda4 rw,space_cache',
      '26 22 7:0 / /mnt/loop rw - ext4 /dev/loop0 rw',
      '27 22 8:17 / /mnt/other rw - ext4 /dev/sdb1 rw',
      '28 22 8:18 / /mnt/still rw - ext4 /dev/sdb2 ro',
      '29 22 7:1 / /mnt/my\\040disk rw - ntfs3 /dev/loop1 rw',
      '30 22 0:41 / /proc rw - proc proc rw',
      '',
    ].join('\n'),
    '/proc/swaps':
      'Filename\t\t\tType\t\tSize\n/dev/sda3                partition\t1000\t0\t-2\n/swap\\040file file\t10\t0\t-3\n',
    '/sys/dev/block/8:16/sdb1/partition': '1\n',
    '/sys/dev/block/8:16/sdb1/dev': '8:17\n',
    '/sys/dev/block/8:16/sdb2/partition': '2\n',
    '/sys/dev/block/8:16/sdb2/dev': '8:18\n',
  },
  {
    '/dev/sda': 'device 8:0',
    '/dev/disk/by-id/ata-disk': 'device 8:0',
    '/dev/sda1': 'device 8:1',
    '/dev/sda2': 'device 8:2',
    '/dev/sda3': 'device 8:3',
    '/dev/sda4': 'device 8:4',
    '/dev/sda5': 'device 8:5',
    '/dev/sdb': 'device 8:16',
    '/dev/sdb2': 'device 8:18',
    '/dev/mapper/group-root': 'device 253:1',
    '/dev/loop0': 'device 7:0',
    '/dev/loop1': 'device 7:1',
    '/dev/loop2': 'device 7:2',
    '/home/me/my disk.raw': 'file 1:100',
    '/home/me/link': 'file 1:100',
    '/home/me/free.raw': 'file 1:101',
    '/swap file': 'file 1:102',
  },
)

const placesOf = async (path: string) => {
  const findings = await linuxMountsForWriting(path, system)
  return findings.map(({ code, details }) => (code === 'SWAP_IN_USE' ? `swap ${details!.device}` : details!.mountPoint))
}

describe('linuxMountsForWriting', () => {
  test('finds all that is made of a disk', async () => {
    const all = ['/', '/boot/efi', '/mnt/see only', '/home', '/mnt/loop', 'swap /dev/sda3']
    expect(await placesOf('/dev/sda')).toEqual(all)
    expect(await placesOf('/dev/disk/by-id/ata-disk')).toEqual(all)
  })

  test.each([
    ['/dev/sda1', ['/boot/efi', '/mnt/see only']],
    ['/dev/sda2', ['/']],
    ['/dev/mapper/group-root', ['/']],
    ['/dev/sda3', ['swap /dev/sda3']],
    ['/dev/sda4', ['/home']],
    ['/dev/sda5', ['/mnt/loop']],
    ['/dev/loop0', ['/mnt/loop']],
    ['/dev/sdb', ['/mnt/other']],
    ['/dev/sdb2', []],
    ['/home/me/my disk.raw', ['/mnt/my disk']],
    ['/home/me/link', ['/mnt/my disk']],
    ['/dev/loop1', ['/mnt/my disk']],
    ['/dev/loop2', []],
    ['/home/me/free.raw', []],
    ['/swap file', ['swap /swap file']],
    ['/missing', []],
  ])('of %s finds %o', async (path, places) => {
    expect(await placesOf(path)).toEqual(places)
  })

  test('says what is mounted where, and what to do', async () => {
    expect((await linuxMountsForWriting('/dev/sda1', system))[0]).toEqual({
      code: 'MOUNTED_READ_WRITE',
      message:
        '/dev/sda1 is mounted for writing at /boot/efi (vfat), so it may change while it is read. Unmount it, or mount it read-only',
      details: { device: '/dev/sda1', mountPoint: '/boot/efi', fileSystem: 'vfat' },
    })
  })

  test('of a system that says nothing finds nothing', async () => {
    expect(await linuxMountsForWriting('/dev/sda', systemOf({}, { '/dev/sda': 'device 8:0' }))).toEqual([])
  })
})

describeWith(['loop'], 'a disk of this system', () => {
  let folder: Scratch
  beforeEach(async () => {
    folder = await scratch()
    await writeFile(folder.path('disk.raw'), '')
    await run('truncate', ['-s', '16M', folder.path('disk.raw')])
    await mkdir(folder.path('mount point'))
  })
  afterEach(() => folder[Symbol.asyncDispose]())

  const mountPoints = async (path: string) => (await mountedReadWrite(path)).map(({ details }) => details!.mountPoint)

  test('mounted by way of a loop device, is so under each of its names', async () => {
    const [disk, alias, mountPoint] = [folder.path('disk.raw'), folder.path('alias'), folder.path('mount point')]
    await using loop = await attachLoop(disk)
    await symlink(disk, alias)
    await run('mkfs.ext4', ['-q', disk])
    expect(await mountPoints(disk)).toEqual([])
    await run('mount', [loop.path, mountPoint])
    try {
      for (const name of [disk, alias, loop.path]) expect(await mountPoints(name)).toEqual([mountPoint])
      await run('mount', ['-o', 'remount,ro', mountPoint])
      for (const name of [disk, alias, loop.path]) expect(await mountPoints(name)).toEqual([])
    } finally {
      await run('umount', [mountPoint])
    }
    expect(await mountPoints(loop.path)).toEqual([])
  })

  test('swapped to', async () => {
    const disk = folder.path('disk.raw')
    await using loop = await attachLoop(disk)
    await run('mkswap', [loop.path])
    await run('swapon', [loop.path])
    try {
      expect(await mountedReadWrite(disk)).toMatchObject([{ code: 'SWAP_IN_USE', details: { device: loop.path } }])
    } finally {
      await run('swapoff', [loop.path])
    }
    expect(await mountedReadWrite(disk)).toEqual([])
  })
})

describeWith(['fuse', 'root', 'ntfs-3g', 'mkntfs'], 'an image file of this system', () => {
  test('mounted by ntfs-3g itself', async () => {
    await using folder = await scratch()
    const [disk, mountPoint] = [folder.path('disk.raw'), folder.path('mount point')]
    await run('truncate', ['-s', '16M', disk])
    await run('mkntfs', ['-Q', '-F', '-q', disk])
    await mkdir(mountPoint)
    await run('ntfs-3g', [disk, mountPoint])
    try {
      expect(await mountedReadWrite(disk)).toMatchObject([{ code: 'MOUNTED_READ_WRITE', details: { mountPoint } }])
    } finally {
      await run('umount', [mountPoint])
    }
  })
})
