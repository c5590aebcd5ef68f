/** convert, as users run it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { hashFile } from '../helpers/disks.ts'
import { repository, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import * as images from '../image/chain-images.ts'

const MiB = 1024 ** 2
const ID = '788015f0-5e93-4bd2-a5de-b0cd8459db11'

test('says what it would do, does it, and says what it did', async () => {
  await using folder = await scratch()
  const [disk, image, back] = ['disk.raw', 'image.vhd', 'back.raw'].map(folder.path) as [string, string, string]
  await writeFile(disk, pattern(3 * MiB))
  await truncate(disk, 10 * MiB)
  const plan = await vhdx(['convert', disk, image, '--dry-run'])
  expect([plan.exitCode, await readdir(folder.folder)]).toEqual([0, ['disk.raw']])
  expect(plan.stdout.split('\n').map(line => line.replace(/[-0-9a-f]{36}$/, 'ID'))).toEqual([
    `source:  ${disk} (raw)`,
    `target:  ${image}, a dynamic VHD`,
    'disk:    10 MiB (10485760 bytes)',
    'blocks:  2 MiB',
    'disk id: ID',
    'to read: 3 MiB',
    `file:    at most 4 MiB (${2 * 2 * MiB + 4 * 4096} bytes)`,
    '',
  ])
  const done = await vhdx(['convert', disk, image])
  expect(done.exitCode).toBe(0)
  expect(done.stdout).toMatch(
    /^\S+image\.vhd is complete: a dynamic VHD of 10 MiB, 3 MiB read, 4 MiB written \(2 blocks\) in \S+ s, .*\/s\n$/,
  )
  expect(await vhdxJson('convert', image, back)).toEqual({
    type: 'summary',
    image: { format: 'raw', type: 'fixed', virtualSize: 10 * MiB, blockSize: null, diskId: null },
    bytesRead: 4 * MiB,
    bytesWritten: 10 * MiB,
    sharedBytes: expect.any(Number),
    blocks: null,
    seconds: expect.any(Number),
    warnings: [],
  })
  expect(await hashFile(back)).toBe(await hashFile(disk))
})

test('a chain by its child, with its parents where they are said to be; warnings are said once, and in the JSON', async () => {
  await using folder = await scratch()
  const base = images.vhd()
  const child = images.vhd(base, { W2ru: '.\\base.vhd' }, 1)
  await writeFile(folder.path('elsewhere.vhd'), base.file)
  await writeFile(folder.path('child.vhd'), child.file)
  const [source, target] = [folder.path('child.vhd'), folder.path('flat.vhdx')]
  const lost = await vhdx(['convert', source, target])
  expect([lost.exitCode, lost.stderr.includes('[PARENT_NOT_FOUND]')]).toEqual([1, true])
  const parent = ['--parent', folder.path('elsewhere.vhd')]
  const { exitCode, stderr } = await vhdx(['convert', source, target, ...parent])
  expect([exitCode, stderr.match(/warning: .* was made when its parent/g)?.length]).toEqual([0, 1])
  const json = await vhdxJson('convert', source, target, ...parent, '--force', '--new-id', '--block-size', '4MiB')
  expect(json).toMatchObject({
    image: { format: 'vhdx', blockSize: 4 * MiB },
    warnings: [{ code: 'PARENT_TIMESTAMP' }],
  })
  expect(json.image.diskId).not.toBe(ID)
})

test.each([
  [['a.qcow2'], 2, 'FORMAT_UNSAID'],
  [['-'], 2, 'NOT_IN_A_PIPE'],
  [['there.vhd'], 1, 'TARGET_EXISTS'],
])('disk.raw to %o ends with %i', async (args, code, name) => {
  await using folder = await scratch()
  await writeFile(folder.path('disk.raw'), pattern(MiB))
  await writeFile(folder.path('there.vhd'), 'precious')
  const { exitCode, stderr } = await vhdx(['convert', 'disk.raw', ...args], { cwd: folder.folder })
  expect([exitCode, stderr.includes(`[${name}]`)]).toEqual([code, true])
  expect(await readdir(folder.folder)).toEqual(['disk.raw', 'there.vhd'])
})

test('Ctrl-C leaves nothing', async () => {
  await using folder = await scratch()
  const disk = folder.path('disk.raw')
  await writeFile(disk, pattern(MiB))
  // Zeros enough to be busy with until it is stopped.
  await truncate(disk, 8 * 1024 * MiB)
  const args = ['convert', disk, folder.path('a.raw'), '--json', '--force']
  const child = spawn(process.execPath, [join(repository, 'cli/bin.js'), ...args])
  let said = ''
  child.stdout.on('data', chunk => {
    said += chunk
  })
  child.stderr.on('data', chunk => {
    said += chunk
  })
  const ended = once(child, 'exit')
  while (!said.includes('"phase":"copying"') && child.exitCode === null) await sleep(20)
  child.kill('SIGINT')
  expect((await ended)[0]).toBe(130)
  expect(said).toContain('what was half-written has been deleted')
  expect(await readdir(folder.folder)).toEqual(['disk.raw'])
})
