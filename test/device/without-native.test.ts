/** Everything works where neither koffi nor fs-ext is installed; only the map of holes is missing, and the locks that QEMU knows. */
import { open, writeFile } from 'node:fs/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { FileDevice, type FileDeviceOptions } from '../../lib/device/file-device.ts'
import { fileSystemSpace } from '../../lib/device/native.ts'
import { BusyError } from '../../lib/errors.ts'
import { collect } from '../helpers/collect.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'

vi.mock('koffi', () => {
  throw new Error('not installed')
})
vi.mock('fs-ext', () => {
  throw new Error('not installed')
})

afterEach(() => vi.unstubAllEnvs())

const failure = (path: string, options: FileDeviceOptions = {}) =>
  FileDevice.open(path, options).then(
    device => device.close(),
    (error: unknown) => error,
  )

describe('without koffi and fs-ext', () => {
  test('the flock command locks', async () => {
    await using folder = await scratch()
    const path = folder.path('file')
    await writeFile(path, pattern(1000))
    {
      await using first = await FileDevice.open(path)
      await using second = await FileDevice.open(path)
      expect([first.lock, second.lock]).toEqual(['shared', 'shared'])
      expect(await failure(path, { mode: 'write' })).toBeInstanceOf(BusyError)
    }
    await using writer = await FileDevice.open(path, { mode: 'write' })
    expect(writer.lock).toBe('exclusive')
    expect(await failure(path)).toBeInstanceOf(BusyError)
  })

  test('and without the flock command a file opens unlocked', async () => {
    await using folder = await scratch()
    vi.stubEnv('PATH', folder.folder)
    await using device = await FileDevice.open(folder.path('file'), { mode: 'create' })
    await device.write(0, pattern(1000))
    expect(device.lock).toBe('none')
    expect(await failure(folder.path('file'))).toBeUndefined()
  })

  test('there is no map of holes, and a sparse file is still known by its size', async () => {
    await using folder = await scratch()
    const handle = await open(folder.path('file'), 'w')
    await handle.truncate(10 ** 9)
    await handle.close()
    await using device = await FileDevice.open(folder.path('file'))
    const within = { offset: 5, length: 1000 }
    expect(await collect(device.dataRanges(within))).toEqual([within])
    expect(await device.isSparse()).toBe(true)
    expect(await fileSystemSpace(folder.folder)).toBeUndefined()
  })
})
