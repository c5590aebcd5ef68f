/**
 * Other people's programs in tests: how one is run, and what a suite does where one is missing. Without it the suite is
 * skipped and says what to install; with `CI` in the environment it fails, so that no CI run is green by doing nothing.
 */
import { execFileSync, spawn } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, type TestContext, type TestFunction, test } from 'vitest'
import { corpusFolder, hasCorpus } from './folders.ts'

/** Programs that tests use, and the Debian package that each comes in. */
const PACKAGES = {
  '7zz': '7zip',
  fls: 'sleuthkit',
  fsstat: 'sleuthkit',
  icat: 'sleuthkit',
  mmls: 'sleuthkit',
  'grub-mkimage': 'grub-common',
  'grub-mkstandalone': 'grub-common',
  losetup: 'mount',
  mcopy: 'mtools',
  mmd: 'mtools',
  'mkfs.exfat': 'exfatprogs',
  'mkfs.fat': 'dosfstools',
  mkntfs: 'ntfs-3g',
  'ntfs-3g': 'ntfs-3g',
  ntfsclone: 'ntfs-3g',
  ntfsinfo: 'ntfs-3g',
  'partclone.ntfs': 'partclone',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-system-x86_64': 'qemu-system-x86',
  sgdisk: 'gdisk',
  tar: 'tar',
  vhdiinfo: 'libvhdi-utils',
  vhdimount: 'libvhdi-utils',
  'wimlib-imagex': 'wimtools',
  wine64: 'wine64',
  xz: 'xz-utils',
} as const

/** Files that tests use, and the Debian package that each comes in. */
export const FILES = {
  ovmf: { path: '/usr/share/OVMF/OVMF_CODE_4M.fd', package: 'ovmf' },
  'grub-efi': { path: '/usr/lib/grub/x86_64-efi/ntfs.mod', package: 'grub-efi-amd64-bin' },
  'grub-pc': { path: '/usr/lib/grub/i386-pc/boot.img', package: 'grub-pc-bin' },
} as const

/** What a test can need besides programs and files: 'loop' is losetup, as root, on a system that has loop devices. */
const CONDITIONS = {
  root: () => (process.getuid?.() === 0 ? undefined : 'it has to run as root'),
  loop: () => CONDITIONS.root() ?? missingTool('losetup') ?? (loopWorks() ? undefined : 'losetup finds no loop device'),
  fuse: () => (isUsable('/dev/fuse') ? undefined : '/dev/fuse cannot be opened (apt-get install fuse3)'),
  corpus: () => (hasCorpus ? undefined : `there is no ${corpusFolder}`),
}

export type Tool = keyof typeof PACKAGES
export type Need = Tool | keyof typeof FILES | keyof typeof CONDITIONS

/** Debian keeps what formats disks in /usr/sbin, which is not in everybody's PATH; wine64 lies beside its libraries. */
const PATH = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/lib/wine']

const pathOf = (tool: string) => PATH.map(folder => join(folder, tool)).find(existsSync)

/** Why the tests that need all of `needs` cannot run here; undefined when they can. */
export function whatIsMissing(needs: readonly Need[]): string | undefined {
  const reasons = needs.map(need => {
    if (need in CONDITIONS) return CONDITIONS[need as keyof typeof CONDITIONS]()
    if (need in FILES) return missingFile(need as keyof typeof FILES)
    return missingTool(need as Tool)
  })
  return reasons.find(reason => reason !== undefined)
}

/** `test` for what needs other programs: skipped with the reason where one is missing, failed where CI is set. */
export function testWith(needs: readonly Need[], name: string, run: TestFunction, timeout?: number): void {
  const reason = whatIsMissing(needs)
  test(name, reason === undefined ? run : context => giveUp(context, needs, reason), timeout)
}

/** `describe` for what needs other programs. `define` is not called where one is missing: one test takes its place. */
export function describeWith(needs: readonly Need[], name: string, define: () => void): void {
  const reason = whatIsMissing(needs)
  if (reason === undefined) describe(name, define)
  else describe(name, () => test(`needs ${needs.join(', ')}`, context => giveUp(context, needs, reason)))
}

/** The corpus is not part of the repository, so that it is missing is never a failure. */
function giveUp(context: TestContext, needs: readonly Need[], reason: string): void {
  const required = whatIsMissing(needs.filter(need => need !== 'corpus')) !== undefined
  if (required && process.env.CI) throw new Error(`CI is set and ${reason}`)
  context.skip(reason)
}

export interface RunOptions {
  /** Milliseconds until it is killed, which throws. 60 s unless told. */
  readonly timeout?: number
  readonly cwd?: string
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>
  /** What it reads on stdin. Otherwise stdin is empty. */
  readonly input?: string | Buffer
  /** Exit codes that are no error: [0] unless told. */
  readonly exitCodes?: readonly number[]
}

export interface Finished {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end. Throws with its whole output when it cannot start, takes too long or fails. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { timeout = 60_000, exitCodes = [0] } = options
  const child = spawn(pathOf(command) ?? command, args, {
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    env: { ...process.env, LC_ALL: 'C', PATH: PATH.join(delimiter), ...options.env },
  })
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', chunk => stdout.push(chunk))
  child.stderr.on('data', chunk => stderr.push(chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(options.input)

  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, timeout)
  const ended = await new Promise<number | string>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'no exit code'))
  }).finally(() => clearTimeout(timer))

  const output = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }
  if (typeof ended === 'number' && exitCodes.includes(ended)) return { exitCode: ended, ...output }
  const outcome = late ? `was killed after ${timeout} ms` : `ended with ${ended}`
  throw new Error(`${[command, ...args].join(' ')} ${outcome}\n${output.stdout}${output.stderr}`)
}

function missingTool(tool: Tool): string | undefined {
  return pathOf(tool) === undefined ? `${tool} is not installed (apt-get install ${PACKAGES[tool]})` : undefined
}

function missingFile(name: keyof typeof FILES): string | undefined {
  const file = FILES[name]
  return existsSync(file.path) ? undefined : `${file.path} is missing (apt-get install ${file.package})`
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Whether the system hands out loop devices, which containers often do not. */
function loopWorks(): boolean {
  try {
    execFileSync(pathOf('losetup')!, ['--find'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}
