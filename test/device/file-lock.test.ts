/** Locks between copies of this program, and with QEMU in both directions. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { StatsFs } from 'node:fs'
import { readFile, stat, statfs, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { FileDevice, type FileDeviceOptions } from '../../lib/device/file-device.ts'
import { BusyError } from '../../lib/errors.ts'
import { repository, type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith, run } from '../helpers/tools.ts'

vi.mock('node:fs/promises', { spy: true })

let folder: Scratch
beforeEach(async () => {
  folder = await scratch()
})
afterEach(() => folder[Symbol.asyncDispose]())

/** The error of opening `path`, or the lock that was got. */
const attempt = async (path: string, options: FileDeviceOptions) => {
  try {
    await using device = await FileDevice.open(path, options)
    return device.lock
  } catch (error) {
    return error as BusyError
  }
}

/** A program that has an image open until it is disposed of. */
async function holding(command: string, args: readonly string[], ready: (output: string) => boolean) {
  const child = spawn(command, args, { cwd: repository, stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  let output = ''
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output += chunk
    if (ready(output)) break
  }
  child.stdout.resume()
  return {
    pid: child.pid!,
    async [Symbol.asyncDispose]() {
      child.stdin.end()
      child.kill()
      await exited
    },
  }
}

/** qemu-io with `path` open: it has answered one command, and waits for the next. */
async function qemuIo(path: string, ...options: string[]) {
  const command = ['-c', `(echo length; cat) | exec qemu-io ${[...options, path].join(' ')}`]
  return holding('sh', command, output => /\d (KiB|MiB)|^\d+/m.test(output))
}

test('another copy of this program is noticed and named, and its end frees the file', async () => {
  const path = folder.path('image')
  await writeFile(path, pattern(1000))
  const script = `
    import { FileDevice } from './lib/device/file-device.ts'
    await FileDevice.open(process.argv[1], { mode: 'write' })
    console.log('open')
    setInterval(() => {}, 1000)`
  {
    const args = ['--import', 'tsx', '--input-type=module', '--eval', script, path]
    await using other = await holding(process.execPath, args, output => output.includes('open'))
    for (const mode of ['read', 'write'] as const) {
      const error = await attempt(path, { mode })
      expect(error).toBeInstanceOf(BusyError)
      expect((error as BusyError).message).toContain(`cannot ${mode} ${path}: process ${other.pid} (`)
    }
  }
  expect(await attempt(path, { mode: 'write' })).toBe('exclusive')
})

test('of two that come at once, at most one writes', async () => {
  const path = folder.path('image')
  await writeFile(path, pattern(1000))
  const devices = await Promise.allSettled([1, 2, 3].map(() => FileDevice.open(path, { mode: 'write' })))
  const got = devices.filter(result => result.status === 'fulfilled')
  expect(got.length).toBeLessThanOrEqual(1)
  await Promise.all(got.map(({ value }) => value.close()))
})

test('closing another opening of the file keeps the lock', async () => {
  const path = folder.path('image')
  await writeFile(path, pattern(1000))
  await using _writer = await FileDevice.open(path, { mode: 'write' })
  await (await FileDevice.open(path, { lock: 'none' })).close()
  expect(await attempt(path, { mode: 'read' })).toBeInstanceOf(BusyError)
})

test('on an SMB share no byte is locked, since nobody could write there', async () => {
  const path = folder.path('image')
  await writeFile(path, pattern(1000))
  vi.mocked(statfs).mockResolvedValueOnce({ type: 0xfe534d42 } as StatsFs)
  await using writer = await FileDevice.open(path, { mode: 'write' })
  expect(writer.lock).toBe('exclusive')
  const { ino } = await stat(path)
  const locks = (await readFile('/proc/locks', 'latin1')).split('\n').filter(line => line.includes(`:${ino} `))
  expect(locks).toEqual([expect.stringMatching(/FLOCK +ADVISORY +WRITE/)])
})

describeWith(['qemu-io', 'qemu-img', 'qemu-nbd'], 'with QEMU', () => {
  const image = async () => {
    const path = folder.path('image.vhdx')
    await run('qemu-img', ['create', '-q', '-f', 'vhdx', path, '10M'])
    return path
  }

  test('while we write, it neither reads nor writes', async () => {
    const path = await image()
    await using _writer = await FileDevice.open(path, { mode: 'write' })
    const failed = { exitCodes: [1] }
    const read = await run('qemu-io', ['-r', '-f', 'vhdx', '-c', 'read 0 512', path], failed)
    expect(read.stderr).toContain('Failed to get shared "write" lock')
    const written = await run('qemu-io', ['-f', 'vhdx', '-c', 'write 0 512', path], failed)
    expect(written.stderr).toContain('Failed to get "write" lock')
    const served = await run('qemu-nbd', ['-f', 'vhdx', '-k', folder.path('socket'), path], failed)
    expect(served.stderr).toContain('Failed to get "write" lock')
    expect((await run('qemu-img', ['info', path], failed)).stderr).toContain('Failed to get shared "write" lock')
    await run('qemu-img', ['info', '--force-share', path])
  })

  test('while we read, it reads, and does not write', async () => {
    const path = await image()
    await using _reader = await FileDevice.open(path)
    await run('qemu-io', ['-r', '-f', 'vhdx', '-c', 'read 0 512', path])
    const written = await run('qemu-io', ['-f', 'vhdx', '-c', 'write 0 512', path], { exitCodes: [1] })
    expect(written.stderr).toContain('Failed to get "write" lock')
  })

  test('while it writes, we neither read nor write, and say who it is', async () => {
    const path = await image()
    await using _qemu = await qemuIo(path, '-f', 'vhdx')
    for (const mode of ['read', 'write'] as const) {
      const error = await attempt(path, { mode })
      expect(error).toBeInstanceOf(BusyError)
      expect((error as BusyError).message).toMatch(/process \d+ \(qemu-io -f vhdx .*\) has locked it/)
    }
  })

  test('while it reads, we read, and do not write', async () => {
    const path = await image()
    await using _qemu = await qemuIo(path, '-r', '-f', 'vhdx')
    expect(await attempt(path, { mode: 'read' })).toBe('shared')
    expect(await attempt(path, { mode: 'write' })).toBeInstanceOf(BusyError)
  })

  test('a raw disk that it writes is as much in use', async () => {
    const path = folder.path('disk.raw')
    await writeFile(path, pattern(8192))
    await using _qemu = await qemuIo(path, '-f', 'raw')
    expect(await attempt(path, { mode: 'read' })).toBeInstanceOf(BusyError)
    expect(await attempt(path, { mode: 'write' })).toBeInstanceOf(BusyError)
    expect(await attempt(path, { mode: 'write', lock: 'none' })).toBe('none')
  })
})
