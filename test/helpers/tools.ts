/**
 * Other people's programs in tests: what a suite does where one is missing. Without it the suite is
 * skipped and says what to install; with `CI` in the environment it fails, so that no CI run is green by doing nothing.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { describe, type TestContext, type TestFunction, type TestOptions, test } from 'vitest'
import { corpusFolder, hasCorpus } from './folders.ts'
import { pathOf } from './run.ts'

export { run } from './run.ts'

/** Programs that tests use, and the Debian package that each comes in. */
const PACKAGES = {
  '7zz': '7zip',
  fls: 'sleuthkit',
  fsstat: 'sleuthkit',
  icat: 'sleuthkit',
  istat: 'sleuthkit',
  mmls: 'sleuthkit',
  tsk_recover: 'sleuthkit',
  'grub-mkimage': 'grub-common',
  'grub-mkstandalone': 'grub-common',
  losetup: 'mount',
  mcopy: 'mtools',
  mdel: 'mtools',
  mmd: 'mtools',
  'dump.exfat': 'exfatprogs',
  'fsck.exfat': 'exfatprogs',
  'mkfs.btrfs': 'btrfs-progs',
  'mkfs.exfat': 'exfatprogs',
  'mkfs.xfs': 'xfsprogs',
  'mount.exfat-fuse': 'exfat-fuse',
  mkswap: 'util-linux',
  'fsck.fat': 'dosfstools',
  'mkfs.fat': 'dosfstools',
  mke2fs: 'e2fsprogs',
  mkntfs: 'ntfs-3g',
  'ntfs-3g': 'ntfs-3g',
  ntfsclone: 'ntfs-3g',
  ntfsinfo: 'ntfs-3g',
  ntfssecaudit: 'ntfs-3g',
  'partclone.ntfs': 'partclone',
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  'qemu-nbd': 'qemu-utils',
  'qemu-system-x86_64': 'qemu-system-x86',
  setfattr: 'attr',
  sgdisk: 'gdisk',
  tar: 'tar',
  unzip: 'unzip',
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

/**
 * What a test can need besides programs and files: 'loop' is losetup, as root, on a system that has loop devices; 'btrfs'
 * and 'xfs' are such a file system made in a file and mounted.
 */
const CONDITIONS = {
  root: () => (process.getuid?.() === 0 ? undefined : 'it has to run as root'),
  loop: () => CONDITIONS.root() ?? missingTool('losetup') ?? (loopWorks() ? undefined : 'losetup finds no loop device'),
  btrfs: () => CONDITIONS.loop() ?? missingTool('mkfs.btrfs') ?? missingFileSystem('btrfs'),
  xfs: () => CONDITIONS.loop() ?? missingTool('mkfs.xfs') ?? missingFileSystem('xfs'),
  fuse: () => (isUsable('/dev/fuse') ? undefined : '/dev/fuse cannot be opened (apt-get install fuse3)'),
  corpus: () => (hasCorpus ? undefined : `there is no ${corpusFolder}`),
}

export type Tool = keyof typeof PACKAGES
export type Need = Tool | keyof typeof FILES | keyof typeof CONDITIONS

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
export function testWith(
  needs: readonly Need[],
  name: string,
  run: TestFunction,
  options: number | TestOptions = {},
): void {
  const reason = whatIsMissing(needs)
  const settings = typeof options === 'number' ? { timeout: options } : options
  test(name, settings, reason === undefined ? run : context => giveUp(context, needs, reason))
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

function missingTool(tool: Tool): string | undefined {
  return pathOf(tool) === undefined ? `${tool} is not installed (apt-get install ${PACKAGES[tool]})` : undefined
}

function missingFile(name: keyof typeof FILES): string | undefined {
  const file = FILES[name]
  return existsSync(file.path) ? undefined : `${file.path} is missing (apt-get install ${file.package})`
}

/** Systems load what they can mount when it is first mounted, so it may have to be asked for. */
function missingFileSystem(type: string): string | undefined {
  const isKnown = () => new RegExp(`\\b${type}$`, 'm').test(readFileSync('/proc/filesystems', 'latin1'))
  if (!isKnown()) spawnSync(pathOf('modprobe') ?? 'modprobe', [type])
  return isKnown() ? undefined : `this kernel mounts no ${type}`
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
