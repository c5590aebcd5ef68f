/** Images inside the file system of an image. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { HostFolders } from '../../lib/image/open-host-files.ts'
import { openImageIn } from '../../lib/image/open-image.ts'
import { openVolume } from '../../lib/image/open-volume.ts'
import { parsePath } from '../../lib/image/parent-path.ts'
import type { Files } from '../../lib/volume/files.ts'
import { makeFat } from '../fat/make-fat.ts'
import { vhdx as runVhdx } from '../helpers/cli.ts'
import { buildDisk, diskTools, fillNtfs, ntfs } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { describeWith } from '../helpers/tools.ts'
import { makeDynamic, makeFixed } from '../vhd/make-vhd.ts'
import { type Made, vhd, vhdx } from './chain-images.ts'

const MiB = 2 ** 20

describeWith([...diskTools], 'on a volume of NTFS', () => {
  let folder: Scratch
  let volume: FileDevice
  let files: Files
  const made: Record<string, Made> = {}

  beforeAll(async () => {
    folder = await scratch()
    made.base = await vhdx()
    made.child = await vhdx(made.base, { absolute_win32_path: '\\\\?\\E:\\Images\\Base.VHDX' })
    made.old = vhd()
    made.older = vhd(made.old, { W2ru: '..\\IMAGES\\old.vhd' })
    const { disk: inner } = makeFat(16)
    await buildDisk(folder.path('outer'), {
      size: 64 * MiB,
      table: 'none',
      partitions: [
        {
          type: '07',
          content: [
            ntfs(),
            fillNtfs(async mountPoint => {
              for (const name of ['images', 'backups']) await mkdir(join(mountPoint, name))
              const put = (path: string, file: Buffer) => writeFile(join(mountPoint, path), file)
              await put('images/base.vhdx', made.base!.file)
              await put('images/old.vhd', made.old!.file)
              await put('backups/child.vhdx', made.child!.file)
              await put('backups/older.vhd', made.older!.file)
              await put('backups/fat.vhd', makeFixed(inner.content))
              await put('backups/raw', Buffer.alloc(5000, 7))
              await put('backups/empty', Buffer.alloc(0))
            }),
          ],
        },
      ],
    })
    volume = await FileDevice.open(folder.path('outer'))
    files = await (await openVolume(volume)).openFiles()
    return async () => {
      await volume.close()
      await folder[Symbol.asyncDispose]()
    }
  })

  test.each([
    ['/backups/child.vhdx', 'child', ['/backups/child.vhdx', '/images/base.vhdx']],
    ['/Backups/OLDER.vhd', 'older', ['/backups/older.vhd', '/images/old.vhd']],
    ['/images/base.vhdx', 'base', ['/images/base.vhdx']],
  ])('%s, with its parents on the same volume', async (path, name, chain) => {
    await using opened = await openImageIn(files, path)
    const content = Buffer.alloc(opened.disk.size)
    await opened.disk.read(0, content)
    expect(content.equals(made[name]!.disk)).toBe(true)
    expect(opened.chain.map(({ path }) => path)).toEqual(chain)
    expect(opened.chain[0]!.modified!.getTime()).toBeGreaterThan(Date.now() - 3_600_000)
  })

  test('a raw disk, an empty file, a folder, nothing', async () => {
    await using raw = await openImageIn(files, '/backups/raw')
    expect(raw).toMatchObject({ format: 'raw', chain: [], disk: { size: 5000 } })
    await expect(openImageIn(files, '/backups/empty')).rejects.toMatchObject({ code: 'EMPTY_FILE' })
    await expect(openImageIn(files, '/backups')).rejects.toMatchObject({ code: 'NOT_A_FILE' })
    await expect(openImageIn(files, '/backups/gone.vhd')).rejects.toMatchObject({ code: 'NO_SUCH_FILE' })
  })

  test('the files in an image in an image', async () => {
    const { exitCode, stderr } = await runVhdx(['ls', folder.path('outer'), '--in', '/backups/fat.vhd'])
    expect([exitCode, stderr]).toEqual([0, expect.any(String)])
    const missing = await runVhdx(['ls', folder.path('outer'), '--in', '/backups/gone.vhd'])
    expect(missing).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('[NO_SUCH_FILE]') })
  })
})

describe('folders of this system', () => {
  test('every folder above, up to the root', () => {
    const folders = new HostFolders()
    expect(folders.withAncestors('/a/b/../c')).toEqual(['/a/c', '/a', '/'])
    expect(folders.withAncestors('/')).toEqual(['/'])
  })

  test.runIf(process.platform !== 'win32')(
    'a path of this system is followed, one of Windows or a share is not',
    () => {
      const folders = new HostFolders()
      expect(folders.rootOf(parsePath('/mnt/p.vhd'))).toBe('/')
      for (const path of [
        'C:\\p.vhd',
        '\\\\?\\C:\\p.vhdx',
        '\\\\server\\share\\p.vhd',
        '//server/share/p.vhd',
        '\\p.vhd',
      ]) {
        expect(folders.rootOf(parsePath(path)), path).toBeUndefined()
      }
    },
  )

  test('names in any case, the exact one first; what no file can be called is not there', async () => {
    await using folder = await scratch()
    await mkdir(folder.path('Sub'))
    for (const name of ['Sub/p.vhd', 'Sub/P.vhd', 'Sub/Q.VHD'])
      await writeFile(folder.path(name), makeDynamic({ size: 512 }))
    const folders = new HostFolders()
    expect(await folders.find(folder.folder, ['sub', 'p.vhd'])).toBe(folder.path('Sub/p.vhd'))
    expect(await folders.find(folder.folder, ['SUB', 'P.vhd'])).toBe(folder.path('Sub/P.vhd'))
    expect(await folders.find(folder.path('Sub'), ['..', 'sUB', 'q.vhd'])).toBe(folder.path('Sub/Q.VHD'))
    for (const names of [
      ['Sub'],
      ['p.vhd'],
      ['Sub', 'p.vhd', 'x'],
      ['a\0b'],
      ['x'.repeat(300)],
      ['..', '..', 'none'],
    ]) {
      expect(await folders.find(folder.folder, names)).toBeUndefined()
    }
  })
})
