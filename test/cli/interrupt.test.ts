/** What Ctrl-C says and does. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { interruptible } from '../../cli/interrupt.ts'
import { Output } from '../../cli/output.ts'
import { repository, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'

const MiB = 1024 ** 2

describe.each([
  ['a command that writes nothing', undefined, '', ''],
  ['a stream', '-', '; the streamed image is not whole', '; the streamed image is not whole'],
  [
    'a file',
    'a.vhdx',
    '; what was half-written has been deleted',
    '; a half-written a.vhdx.partial may be left, and can be deleted',
  ],
  ['an image that is changed in its place', { leftAs: 'it is as before' }, '; it is as before', '; it is as before'],
])('%s', (_, target, stopped, ended) => {
  test('says what it leaves: stopped by one signal, ended by a second', async () => {
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true)
    const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
    try {
      await interruptible(new Output({}), target, async signal => {
        process.emit('SIGINT', 'SIGINT')
        expect(signal.reason).toMatchObject({ code: 'INTERRUPTED', message: `stopped by SIGINT${stopped}` })
        expect(stderr).not.toHaveBeenCalled()
        process.emit('SIGTERM', 'SIGTERM')
      })
      expect(stderr.mock.calls.join('').trim()).toBe(`vhdx: ended at once by a second SIGTERM${ended} [INTERRUPTED]`)
      expect(kill.mock.calls).toEqual([[process.pid, 'SIGTERM']])
      expect(process.listeners('SIGINT')).toEqual([])
    } finally {
      kill.mockRestore()
      stderr.mockRestore()
    }
  })
})

test('a second Ctrl-C ends even what waits for a system call', async () => {
  await using folder = await scratch()
  const disk = folder.path('disk.raw')
  await writeFile(disk, pattern(4 * MiB))
  const child = spawn(process.execPath, [join(repository, 'cli/bin.js'), 'capture', disk, '-'])
  let said = ''
  child.stderr.on('data', chunk => {
    said += chunk
  })
  const ended = once(child, 'exit')
  // Nobody reads the image: once the pipe is full, a write waits for ever.
  while (!said.includes('partition 1')) await sleep(20)
  await sleep(300)
  child.kill('SIGINT')
  await sleep(300)
  expect(said).not.toContain('INTERRUPTED')
  child.kill('SIGINT')
  expect(await ended).toEqual([null, 'SIGINT'])
  expect(said).toContain('vhdx: ended at once by a second SIGINT; the streamed image is not whole [INTERRUPTED]\n')
})
