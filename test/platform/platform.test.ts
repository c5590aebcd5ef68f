import { mkdir, statfs } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { NotFoundError } from '../../lib/errors.ts'
import { freeSpace } from '../../lib/platform/free-space.ts'
import { hostFileSystem } from '../../lib/platform/host-file-system.ts'
import { liveWindowsDevice } from '../../lib/platform/mounts.ts'
import { scratch } from '../helpers/folders.ts'
import { describeWith, run } from '../helpers/tools.ts'

describe('freeSpace', () => {
  test('is what the system says, for a file that is not there yet', async () => {
    await using folder = await scratch()
    const { bavail, bsize, blocks } = await statfs(folder.folder)
    const free = await freeSpace(folder.path('new.vhdx'))
    // Others write to the disk meanwhile.
    expect(Math.abs(free - bavail * bsize)).toBeLessThan((blocks * bsize) / 20)
  })

  test('needs a folder', async () => {
    await using folder = await scratch()
    await expect(freeSpace(folder.path('missing/new.vhdx'))).rejects.toBeInstanceOf(NotFoundError)
    await expect(hostFileSystem(folder.path('missing/new.vhdx'))).rejects.toBeInstanceOf(NotFoundError)
  })
})

describeWith(['loop'], 'a small tmpfs', () => {
  test('has its own free space, and is said to be memory', async () => {
    await using folder = await scratch()
    const mountPoint = folder.path('memory')
    await mkdir(mountPoint)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1M', 'tmpfs', mountPoint])
    try {
      expect(await freeSpace(`${mountPoint}/new.vhdx`)).toBe(2 ** 20)
      const { name, findings } = await hostFileSystem(`${mountPoint}/new.vhdx`)
      expect([name, findings.map(({ code }) => code)]).toEqual(['tmpfs', ['HOST_IN_MEMORY']])
    } finally {
      await run('umount', [mountPoint])
    }
  })
})

describe('liveWindowsDevice', () => {
  test.each(['\\\\.\\PhysicalDrive0', '\\\\.\\C:', '\\\\?\\GLOBALROOT\\Device\\HarddiskVolume3'])(
    '%s may be written to',
    path => {
      expect(liveWindowsDevice(path)).toMatchObject([{ code: 'MOUNTED_READ_WRITE', details: { device: path } }])
    },
  )

  test.each(['\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy3', 'C:\\disk.raw', '\\\\?\\C:\\disk.raw'])(
    '%s is not',
    path => {
      expect(liveWindowsDevice(path)).toEqual([])
    },
  )
})
