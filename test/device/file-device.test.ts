import { execFile } from 'node:child_process'
import { link, mkdir, open, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { FileDevice, type FileDeviceOptions } from '../../lib/device/file-device.ts'
import { fileIdentity } from '../../lib/device/file-identity.ts'
import { flushFolder } from '../../lib/device/folder.ts'
import { blockDeviceExists, deviceNumber } from '../../lib/device/linux-block-device.ts'
import {
  BusyError,
  type DiskImageError,
  NotFoundError,
  RefusedError,
  StorageError,
  UnsupportedError,
} from '../../lib/errors.ts'
import { collect } from '../helpers/collect.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { attachLoop } from '../helpers/loop.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith, run } from '../helpers/tools.ts'
import { describeBlockDevice } from './conformance.ts'

vi.mock('../../lib/device/linux-block-device.ts', { spy: true })

let folder: Scratch
let count = 0

beforeAll(async () => {
  folder = await scratch()
})
afterAll(() => folder[Symbol.asyncDispose]())

const newPath = () => folder.path(`file-${count++}`)

async function fileOf(content: Buffer): Promise<string> {
  const path = newPath()
  await writeFile(path, content)
  return path
}

/** The same with holes where `content` has pages of zeros. */
async function sparseFileOf(content: Buffer): Promise<string> {
  const path = newPath()
  const handle = await open(path, 'w')
  await handle.truncate(content.length)
  for (let at = 0; at < content.length; at += 4096) {
    const page = content.subarray(at, at + 4096)
    if (page.some(byte => byte !== 0)) await handle.write(page, 0, page.length, at)
  }
  await handle.close()
  return path
}

const failure = (path: string, options: FileDeviceOptions = {}) =>
  FileDevice.open(path, options).then(
    device => device.close(),
    (error: unknown) => error,
  ) as Promise<DiskImageError>

describeBlockDevice('FileDevice over a file', {
  writable: async content => FileDevice.open(await fileOf(content), { mode: 'write' }),
  readOnly: async content => FileDevice.open(await fileOf(content)),
  growable: () => FileDevice.open(newPath(), { mode: 'create' }),
})

describeBlockDevice('FileDevice over a sparse file', {
  writable: async content => FileDevice.open(await sparseFileOf(content), { mode: 'write' }),
  readOnly: async content => FileDevice.open(await sparseFileOf(content)),
})

describe('FileDevice', () => {
  test('creates a file, and never over another', async () => {
    const path = newPath()
    {
      await using device = await FileDevice.open(path, { mode: 'create' })
      await device.write(5, Buffer.from('hello'))
      await device.flush()
    }
    await flushFolder(folder.folder)
    expect(await readFile(path, 'latin1')).toBe('\0\0\0\0\0hello')
    const error = await failure(path, { mode: 'create' })
    expect(error).toBeInstanceOf(RefusedError)
    expect(error.code).toBe('FILE_EXISTS')
    expect(await readFile(path, 'latin1')).toBe('\0\0\0\0\0hello')
  })

  test('finds the holes of a file of 15 TB', async () => {
    const path = newPath()
    const handle = await open(path, 'w')
    await handle.truncate(15e12)
    await handle.write(Buffer.from('data'), 0, 4, 10e12)
    await handle.close()
    await using device = await FileDevice.open(path)
    expect(device.size).toBe(15e12)
    expect(await collect(device.dataRanges())).toEqual([{ offset: 10e12, length: 4096 }])
    expect(await collect(device.dataRanges({ offset: 10e12 + 1, length: 2 }))).toEqual([
      { offset: 10e12 + 1, length: 2 },
    ])
    expect(await collect(device.dataRanges({ offset: 11e12, length: 3e12 }))).toEqual([])
    expect(await device.isSparse()).toBe(true)
    expect(await device.allocatedBytes()).toBe(4096)
    expect(await device.modified()).toEqual((await stat(device.path, { bigint: true })).mtime)
  })

  test('tells a dense file from one with holes', async () => {
    await using device = await FileDevice.open(newPath(), { mode: 'create' })
    expect(await device.isSparse()).toBe(false)
    await device.write(0, Buffer.alloc(100_000))
    expect(await device.isSparse()).toBe(false)
    expect(await device.allocatedBytes()).toBeGreaterThanOrEqual(100_000)
    await device.resize(200_000)
    expect(await device.isSparse()).toBe(true)
    await device.zero(100_000, 100_000)
    expect(await device.isSparse()).toBe(false)
  })

  test('makes a file shorter and longer', async () => {
    const path = await fileOf(pattern(10_000))
    await using device = await FileDevice.open(path, { mode: 'write' })
    await device.resize(5000)
    expect([device.size, (await stat(path)).size]).toEqual([5000, 5000])
    await device.resize(6000)
    const target = Buffer.alloc(2000)
    await device.read(4000, target)
    expect(target.equals(Buffer.concat([pattern(1000, 4000), Buffer.alloc(1000)]))).toBe(true)
  })

  test('has the sector sizes of its caller', async () => {
    const path = await fileOf(pattern(4096))
    await using device = await FileDevice.open(path, { sectorSize: 4096 })
    expect([device.sectorSize, device.physicalSectorSize]).toEqual([4096, 4096])
    await using plain = await FileDevice.open(path)
    expect([plain.sectorSize, plain.physicalSectorSize, plain.raw]).toEqual([512, 512, false])
  })

  test('is the same under every name of its file', async () => {
    const path = await fileOf(pattern(10))
    const [hard, soft] = [newPath(), newPath()]
    await link(path, hard)
    await symlink(hard, soft)
    await using device = await FileDevice.open(path)
    expect(await fileIdentity(hard)).toBe(device.identity)
    expect(await fileIdentity(soft)).toBe(device.identity)
    expect(await fileIdentity(await fileOf(pattern(10)))).not.toBe(device.identity)
    expect(await fileIdentity(newPath())).toBeUndefined()
  })

  test('says when its file became shorter', async () => {
    const path = await fileOf(pattern(10_000))
    await using device = await FileDevice.open(path)
    await truncate(path, 4000)
    const error = await device.read(3000, Buffer.alloc(2000)).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(StorageError)
    expect(error).toMatchObject({ code: 'SHORT_READ', details: { position: 4000, length: 1000, path } })
  })
})

describe('FileDevice refuses, by name', () => {
  test('what is not there', async () => {
    for (const mode of ['read', 'write'] as const) {
      expect(await failure(newPath(), { mode })).toBeInstanceOf(NotFoundError)
    }
    expect(await failure(`${newPath()}/x`, { mode: 'create' })).toBeInstanceOf(NotFoundError)
    expect(await failure(`${await fileOf(pattern(1))}/x`)).toBeInstanceOf(NotFoundError)
  })

  test.each([
    ['a folder', async (path: string) => mkdir(path)],
    ['a pipe', async (path: string) => promisify(execFile)('mkfifo', [path])],
    ['a character device', async (path: string) => symlink('/dev/zero', path)],
  ])('%s', async (kind, make) => {
    const path = newPath()
    await make(path)
    for (const mode of ['read', 'write'] as const) {
      const error = await failure(path, { mode })
      expect(error).toBeInstanceOf(UnsupportedError)
      expect(error.message).toContain(`it is ${kind}`)
    }
    expect(await failure(path, { mode: 'create' })).toBeInstanceOf(RefusedError)
  })
})

describe('locks', () => {
  test('many read at a time, and nobody writes meanwhile', async () => {
    const path = await fileOf(pattern(100))
    await using first = await FileDevice.open(path)
    await using second = await FileDevice.open(path)
    expect([first.lock, second.lock]).toEqual(['shared', 'shared'])
    const error = await failure(path, { mode: 'write' })
    expect(error).toBeInstanceOf(BusyError)
    expect(error.code).toBe('IN_USE')
    expect(error.message).toContain(`process ${process.pid}`)
  })

  test('one writes, and nobody else reads or writes', async () => {
    const path = newPath()
    const device = await FileDevice.open(path, { mode: 'create' })
    expect(device.lock).toBe('exclusive')
    expect(await failure(path)).toBeInstanceOf(BusyError)
    expect(await failure(path, { mode: 'write' })).toBeInstanceOf(BusyError)
    await device.close()
    expect(await failure(path, { mode: 'write' })).toBeUndefined()
  })

  test('who asks for none gets in', async () => {
    const path = await fileOf(pattern(100))
    await using device = await FileDevice.open(path, { mode: 'write' })
    await using reader = await FileDevice.open(path, { lock: 'none' })
    await device.write(0, Buffer.from([1, 2, 3]))
    const target = Buffer.alloc(3)
    await reader.read(0, target)
    expect([...target]).toEqual([1, 2, 3])
    expect(reader.lock).toBe('none')
  })
})

describeWith(['loop'], 'FileDevice on a full target', () => {
  test('says so, and where', async () => {
    const mountPoint = newPath()
    await mkdir(mountPoint)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mountPoint])
    try {
      await using device = await FileDevice.open(`${mountPoint}/file`, { mode: 'create' })
      await device.write(0, pattern(60_000))
      const error = await device.write(60_000, pattern(60_000)).catch((error: unknown) => error)
      // What fits is written, what does not is the error.
      expect(error).toMatchObject({ name: 'StorageError', code: 'NO_SPACE', details: { position: 65_536 } })
    } finally {
      await run('umount', [mountPoint])
    }
  })
})

describeWith(['loop'], 'FileDevice over a block device', () => {
  /** A loop device with `content`, which goes when the device is closed. */
  async function loopDevice(content: Buffer, options: FileDeviceOptions, sectorSize = 512): Promise<FileDevice> {
    const loop = await attachLoop(await fileOf(content), { sectorSize })
    const device = await FileDevice.open(loop.path, options)
    let closed = false
    vi.spyOn(device, 'close').mockImplementation(async () => {
      if (closed) return
      closed = true
      await FileDevice.prototype.close.call(device)
      await loop[Symbol.asyncDispose]()
    })
    return device
  }

  describeBlockDevice('a loop device', {
    writable: content => loopDevice(content, { mode: 'write' }),
    readOnly: content => loopDevice(content, {}, 4096),
  })

  test('has the size and the sectors that the system says', async () => {
    for (const sectorSize of [512, 4096]) {
      await using device = await loopDevice(pattern(3 * 2 ** 20), {}, sectorSize)
      expect(device.raw).toBe(true)
      expect(device.size).toBe(3 * 2 ** 20)
      expect([device.sectorSize, device.physicalSectorSize]).toEqual([sectorSize, sectorSize])
      expect(await device.isSparse()).toBeUndefined()
      expect(await device.modified()).toBeUndefined()
      expect(await device.allocatedBytes()).toBeUndefined()
    }
  })

  test('is the same through a link, and another than its file', async () => {
    const path = await fileOf(pattern(2 ** 20))
    await using loop = await attachLoop(path)
    const alias = newPath()
    await symlink(loop.path, alias)
    await using device = await FileDevice.open(alias)
    expect(device.size).toBe(2 ** 20)
    expect(await fileIdentity(loop.path)).toBe(device.identity)
    expect(await fileIdentity(path)).not.toBe(device.identity)
  })

  test('is locked like a file', async () => {
    await using loop = await attachLoop(await fileOf(pattern(2 ** 20)))
    await using device = await FileDevice.open(loop.path)
    expect(device.lock).toBe('shared')
    expect(await failure(loop.path, { mode: 'write' })).toBeInstanceOf(BusyError)
  })

  test('cannot be resized', async () => {
    await using device = await loopDevice(pattern(4096), { mode: 'write' })
    await expect(device.resize(8192)).rejects.toBeInstanceOf(UnsupportedError)
  })

  test('is refused for writing when it is read-only', async () => {
    await using loop = await attachLoop(await fileOf(pattern(4096)), { readOnly: true })
    expect(await failure(loop.path, { mode: 'write' })).toMatchObject({
      name: 'ReadOnlyError',
      code: 'READ_ONLY_MEDIUM',
    })
  })

  test('a sector that cannot be read is an error with its byte; of a disk that went away, another error', async () => {
    const path = await fileOf(pattern(2 ** 20))
    await using loop = await attachLoop(path)
    await truncate(path, 2 ** 19)
    await using device = await FileDevice.open(loop.path)
    const readAt = (offset: number) => device.read(offset, Buffer.alloc(4096)).catch((error: unknown) => error)
    expect(await readAt(0)).toBeUndefined()
    const position = 2 ** 19 + 4096
    expect(await readAt(position)).toMatchObject({ code: 'READ_ERROR', details: { position, systemCode: 'EIO' } })
    vi.mocked(blockDeviceExists).mockResolvedValueOnce(false)
    expect(await readAt(position)).toMatchObject({ code: 'DEVICE_GONE', details: { position } })
  })

  test('the system knows which block devices there are', async () => {
    await using loop = await attachLoop(await fileOf(pattern(4096)))
    const { rdev } = await stat(loop.path, { bigint: true })
    expect(await blockDeviceExists(deviceNumber(rdev))).toBe(true)
    expect(await blockDeviceExists('511:1048575')).toBe(false)
  })
})

test('device numbers are written as Linux writes them', () => {
  // makedev(7, 1), makedev(259, 70000), makedev(4095, 1048575) of glibc.
  expect(deviceNumber(0x701n)).toBe('7:1')
  expect(deviceNumber(0x1111_0370n)).toBe('259:70000')
  expect(deviceNumber(0xffff_ffffn)).toBe('4095:1048575')
})
