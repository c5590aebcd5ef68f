/** What is wrong with a command line is said in one line, and ends with exit code 2. */
import { existsSync, readdirSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { main } from '../../cli/main.ts'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { repository, type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'

const MiB = 1024 ** 2

let folder: Scratch
beforeAll(async () => {
  folder = await scratch()
  await writeFile(folder.path('disk.raw'), pattern(MiB))
})
afterAll(() => folder[Symbol.asyncDispose]())

const inFolder = (...args: string[]) => vhdx(args, { cwd: folder.path('.') })

/** What the command line `args`, which is wrong, gets on stderr. In this process: nothing is read or written. */
async function refusal(...args: string[]): Promise<string> {
  const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  try {
    expect(await main(args)).toBe(2)
    return stderr.mock.calls.map(([text]) => text).join('')
  } finally {
    stderr.mockRestore()
  }
}

test.each([
  ['', 'Say what to do. See vhdx --help [USAGE]'],
  ['captur', 'There is no such command. Perhaps this is meant: capture. See vhdx --help [USAGE]'],
  ['constructor', 'Unknown argument: constructor. See vhdx --help [USAGE]'],
  ['check', 'Not enough non-option arguments: got 0, need at least 1. See vhdx check --help [USAGE]'],
  ['check a b', 'Unknown argument: b. See vhdx check --help [USAGE]'],
  ['check a -', 'Unknown argument: -. See vhdx check --help [USAGE]'],
  ['check a --no-json', 'Unknown argument: no-json. See vhdx check --help [USAGE]'],
  ['create a --size 1GiB --id 1 --id 2', '--id can be given only once [USAGE]'],
  ['create a --size 1GiB --block-size 1MiB --block-size 2MiB', '--block-size can be given only once [USAGE]'],
  ['create a --size', '--size needs a value. See vhdx create --help [USAGE]'],
  ['create a --size 1GiB --id', '--id needs a value. See vhdx create --help [USAGE]'],
  [
    'create a --size 1GiB --logical-sector-size 513',
    'Invalid values: --logical-sector-size cannot be 513, only 512, 4096. See vhdx create --help [USAGE]',
  ],
  ['verify a --against b --against c', '--against can be given only once [USAGE]'],
  ['verify a --against', '--against needs a value. See vhdx verify --help [USAGE]'],
  ['verify a --sample', '--sample needs a value. See vhdx verify --help [USAGE]'],
  ['verify a --against -', "a disk cannot be read from a pipe: 'against' has to be a file or a device"],
  ['capture disk.raw a --exclude', '--exclude needs a value. See vhdx capture --help [USAGE]'],
  ['capture disk.raw a --keep', '--keep needs a value. See vhdx capture --help [USAGE]'],
  ['capture disk.raw a --keep pagefile --keep -', "--keep knows no '-'. Known: pagefile, "],
  ['capture - a', "a disk cannot be read from a pipe: 'source' has to be a file or a device"],
  ['du a -d -1', '-d has to be a whole number, 0 or more [USAGE]'],
  ['tree a --depth 1.5', '--depth has to be a whole number, 0 or more [USAGE]'],
  ['ls a --partition one', '--partition has to be a whole number, 0 or more [USAGE]'],
  ['check -', "a disk cannot be read from a pipe: 'image' has to be a file or a device"],
])('vhdx %s', async (line, message) => {
  const stderr = await refusal(...line.split(' ').filter(arg => arg !== ''))
  expect(stderr).toMatch(/^vhdx: .*\n$/)
  expect(stderr).toContain(message)
})

test('an empty path is wrong usage, for each path of each command', async () => {
  for (const [name, ...args] of [
    ['image', 'check', ''],
    ['source', 'capture', '', 'a'],
    ['target', 'capture', 'disk.raw', ''],
    ['against', 'verify', 'a', '--against='],
  ] as const) {
    expect(await refusal(...args)).toBe(`vhdx: the path for '${name}' is empty [USAGE]\n`)
  }
})

test.each(['--json', '--json=true'])('with %s an error is a line of JSON', async json => {
  for (const [code, ...args] of [
    ['USAGE', 'check'],
    ['USAGE', 'verify', 'a', '--against'],
    ['USAGE', 'create', 'a', '--size', '1', '--size', '2'],
    ['BAD_SIZE', 'create', 'a', '--size', 'large'],
  ] as const) {
    const lines = (await refusal(args[0], json, ...args.slice(1))).trim().split('\n')
    expect(lines.map(line => JSON.parse(line))).toMatchObject([{ type: 'error', code, message: expect.any(String) }])
  }
  expect(await refusal('create', 'a', '--size', 'large', '--json=false')).toMatch(/^vhdx: /)
})

test('--keep is repeated or has commas, and options take no argument that follows their value', async () => {
  const target = folder.path('kept.vhdx')
  const keep = ['--keep', 'pagefile,hiberfil', '--keep', 'swapfile']
  await vhdxJson('capture', ...keep, '--exclude', 'x', folder.path('disk.raw'), target)
  const { manifest } = await vhdxJson('info', target)
  expect(manifest).toMatchObject({ keep: ['pagefile', 'hiberfil', 'swapfile'], exclude: ['x'] })
})

test('- is standard output, and no file of that name', async () => {
  const { exitCode, stdout, stderr } = await inFolder('capture', 'disk.raw', '-')
  expect([exitCode, stdout.slice(0, 8)]).toEqual([0, 'vhdxfile'])
  expect(stderr).toContain('The image is complete')
  expect(existsSync(folder.path('-'))).toBe(false)
})

test('an error stays on its line, whatever name is in it', async () => {
  expect((await inFolder('check', 'no\nsuch\x1b[2J')).stderr).toMatch(/^vhdx: cannot open .*no\\nsuch\\x1b.*\n$/)
})

test('vhdx help COMMAND is vhdx COMMAND --help', async () => {
  const help = await inFolder('help', 'capture')
  expect(help).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('vhdx capture <source> <target>') })
  expect(await inFolder('capture', '--help')).toEqual(help)
  expect(await inFolder('help')).toEqual(await inFolder('--help'))
})

test('every help page fits 80 columns', async () => {
  const commands = readdirSync(join(repository, 'cli/commands')).map(file => file.replace('.ts', ''))
  const log = vi.spyOn(console, 'log').mockReturnValue()
  const columns = process.stdout.columns
  process.stdout.columns = 80
  try {
    for (const args of [[], ...commands.map(name => [name])]) {
      log.mockClear()
      expect(await main([...args, '--help'])).toBe(0)
      const page = log.mock.calls.join('\n')
      expect(page).toContain(['vhdx', ...args].join(' '))
      expect(page.split('\n').filter(line => line.length > 80)).toEqual([])
    }
  } finally {
    process.stdout.columns = columns
    log.mockRestore()
  }
})
