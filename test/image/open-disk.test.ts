import { truncate, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { openDisk } from '../../lib/image/open-disk.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith, run } from '../helpers/tools.ts'

const MiB = 2 ** 20

async function fileWith(folder: Scratch, content: Buffer | string): Promise<string> {
  const path = folder.path('disk')
  await writeFile(path, content, { flag: 'wx' })
  return path
}

test('a raw file is its own disk, and is closed with it', async () => {
  await using folder = await scratch()
  const opened = await openDisk(await fileWith(folder, pattern(5000)))
  expect(opened.format).toBe('raw')
  expect(opened.disk).toBe(opened.file)
  expect(opened.disk).toMatchObject({ size: 5000, readOnly: true, sectorSize: 512 })
  const bytes = Buffer.alloc(10)
  await opened.disk.read(4990, bytes)
  expect(bytes).toEqual(pattern(10, 4990))
  await opened.close()
  await opened.close()
  await expect(opened.disk.read(0, bytes)).rejects.toThrow()
})

test('size and sector size can be told', async () => {
  await using folder = await scratch()
  await using opened = await openDisk(await fileWith(folder, pattern(8192)), { size: 4096, sectorSize: 4096 })
  expect(opened.disk).toMatchObject({ size: 4096, sectorSize: 4096 })
})

test('an empty file, and none', async () => {
  await using folder = await scratch()
  await expect(openDisk(await fileWith(folder, ''))).rejects.toMatchObject({ name: 'FormatError', code: 'EMPTY_FILE' })
  await expect(openDisk(folder.path('nothing'))).rejects.toMatchObject({ name: 'NotFoundError' })
})

describeWith(['qemu-img'], 'image files made by qemu-img', () => {
  test.each([
    ['qcow2', 'QCOW', []],
    ['qcow2', 'QCOW', ['-o', 'compat=0.10']],
    ['vmdk', 'VMDK', []],
    ['vdi', 'VDI', []],
    ['qed', 'QED', []],
    ['parallels', 'Parallels HDD', []],
  ])('%s is refused as %s %j', async (format, name, options) => {
    await using folder = await scratch()
    const path = folder.path('image')
    await run('qemu-img', ['create', '-q', '-f', format, ...options, path, '16M'])
    await expect(openDisk(path)).rejects.toMatchObject({
      name: 'UnsupportedError',
      code: 'UNSUPPORTED_CONTAINER',
      message: expect.stringContaining(`a ${name} file`),
    })
    await using opened = await openDisk(path, { format: 'raw' })
    expect(opened.format).toBe('raw')
  })

  test('vhdx is opened as the disk in it, which owns the file', async () => {
    await using folder = await scratch()
    const path = folder.path('image')
    await run('qemu-img', ['create', '-q', '-f', 'vhdx', path, '16M'])
    const opened = await openDisk(path)
    expect(opened).toMatchObject({ format: 'vhdx', disk: { size: 16 * MiB }, file: { path } })
    await opened.close()
    await expect(opened.file.read(0, Buffer.alloc(1))).rejects.toThrow()
  })
})

test('what is said to be VHDX and is not', async () => {
  await using folder = await scratch()
  const path = await fileWith(folder, pattern(5000))
  await truncate(path, 8 * MiB)
  await expect(openDisk(path, { format: 'vhdx' })).rejects.toMatchObject({ name: 'FormatError' })
})
