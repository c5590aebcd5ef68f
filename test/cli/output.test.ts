/** Where results go, and what happens when nobody takes them. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { repository, type Scratch, scratch } from '../helpers/folders.ts'
import { run } from '../helpers/run.ts'
import { TestImage } from '../vhdx/test-image.ts'

const MiB = 1024 ** 2
const BLOCKS = 4096

let folder: Scratch
let image = ''
/** An image with as many ranges as blocks: some 100 KiB of lines, and a pipe holds 64 KiB. */
beforeAll(async () => {
  folder = await scratch()
  image = folder.path('image.vhdx')
  const made = await TestImage.make({ virtualSize: BLOCKS * MiB, blockSize: MiB }, [])
  for (let block = 0; block < BLOCKS; block += 2) made.setBat(block, 2)
  await writeFile(image, made.content)
})
afterAll(() => folder[Symbol.asyncDispose]())

/** Runs vhdx in a shell that does `rest` with its output, and adds its exit code to stderr. */
const shell = (command: string, rest: string) =>
  run('sh', [
    '-c',
    `{ "${process.execPath}" "${join(repository, 'cli/bin.js')}" ${command}; echo "exit $?" >&2; } ${rest}`,
  ])

test.each(['--ranges', '--json'])('map %s | head ends quietly', async how => {
  const { stdout, stderr } = await shell(`map "${image}" ${how}`, '| head -n 1')
  expect(stdout.split('\n')).toHaveLength(2)
  expect(stderr).toBe('exit 0\n')
})

test('a reader that went away does not change what the command found', async () => {
  const broken = folder.path('broken.vhdx')
  await writeFile(broken, 'no image')
  expect((await shell(`check "${broken}"`, '| true')).stderr).toBe('exit 4\n')
})

test('a slow reader gets every range', async () => {
  const { stdout } = await shell(`map "${image}" --json`, '| { sleep 1; cat; }')
  const lines = stdout.trim().split('\n')
  expect(lines).toHaveLength(BLOCKS + 1)
  expect(lines.slice(0, -1).map(line => JSON.parse(line).block)).toEqual(Array.from({ length: BLOCKS }, (_, i) => i))
})

test.runIf(existsSync('/dev/full'))('a result that cannot be written is an error', async () => {
  for (const command of ['info', 'map --ranges']) {
    const { stderr } = await shell(`${command} "${image}"`, '> /dev/full')
    expect(stderr).toMatch(/^vhdx: the result cannot be written: .*ENOSPC.* \[RESULT_LOST\]\nexit 1\n$/)
  }
})

test('info --manifest of what was not captured says so', async () => {
  const ended = await vhdx(['info', image, '--manifest'])
  expect(ended).toMatchObject({ exitCode: 1, stdout: '' })
  expect(ended.stderr).toContain('has no capture manifest: only what vhdx capture wrote has one [NO_MANIFEST]')
  const captured = folder.path('captured.vhdx')
  await vhdxJson('capture', image, captured)
  expect(await vhdxJson('info', captured, '--manifest')).toMatchObject({ source: { path: image } })
})
