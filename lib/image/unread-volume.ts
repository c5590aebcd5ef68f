/** What a volume is whose files are not read here, and how to get at them. spec-notes/partition-tables.md, "Other volumes". */
import { type Damage, retold, UnsupportedError } from '../errors.ts'

interface Words {
  /** As in 'this is …'. */
  readonly what: string
  /** A sentence. */
  readonly advice: string
}

const ON_LINUX = 'Mount it on Linux (qemu-nbd attaches images), or try 7-Zip'
const ON_MACOS = 'Mount it on macOS, or try 7-Zip'
const HOLDS_NONE = 'It holds no files'

const linux = (name: string): Words => ({ what: `a Linux volume (${name})`, advice: ON_LINUX })
const macos = (name: string): Words => ({ what: `a volume of macOS (${name})`, advice: ON_MACOS })

const WORDS: Readonly<Record<string, Words>> = {
  BitLocker: {
    what: 'an encrypted BitLocker volume',
    advice:
      'Unlock it in Windows (manage-bde -unlock) or with cryptsetup or dislocker on Linux, and open the unlocked volume; a capture of the unlocked volume is not encrypted',
  },
  ReFS: { what: 'a ReFS volume', advice: 'Attach the image in Windows, which reads it' },
  LDM: {
    what: 'a member of a dynamic disk (LDM)',
    advice:
      'Attach the images of all its disks in Windows, or use ldmtool on Linux, and open the volume that they make',
  },
  'Storage Spaces': {
    what: 'a member of a storage pool (Storage Spaces)',
    advice: 'Attach the images of all its disks in Windows, and open the virtual disk that they make',
  },
  LVM2: {
    what: 'a physical volume of LVM',
    advice: 'Attach the image on Linux (qemu-nbd), activate it (vgchange -ay), and open the logical volume',
  },
  'Linux RAID': {
    what: 'a member of a Linux RAID',
    advice:
      'Attach the images of all its disks on Linux (qemu-nbd), assemble it (mdadm --assemble), and open the array',
  },
  LUKS: {
    what: 'an encrypted LUKS volume',
    advice: 'Attach the image on Linux (qemu-nbd), unlock it (cryptsetup open), and open the unlocked volume',
  },
  'Linux swap': { what: 'Linux swap space', advice: HOLDS_NONE },
  'HFS+': macos('HFS+'),
  APFS: macos('APFS'),
  'ISO 9660': { what: 'a CD image (ISO 9660)', advice: '7-Zip reads it, and every system mounts it' },
  UDF: { what: 'a DVD image (UDF)', advice: '7-Zip reads it, and every system mounts it' },
  none: { what: 'a partition for programs that start a system, without a file system', advice: HOLDS_NONE },
  unknown: {
    what: 'no volume of a known type',
    advice:
      'It may be empty, encrypted, or a part of something larger. A volume with another partition number may be meant',
  },
}

const wordsFor = (fileSystem: string): Words => WORDS[fileSystem] ?? linux(fileSystem)

/** What a volume of type `fileSystem` is, as in 'this is …'. */
export const describeVolume = (fileSystem: string): string => wordsFor(fileSystem).what

/** The error for files that are not read here. */
export function filesNotRead(fileSystem: string): UnsupportedError {
  const { what, advice } = wordsFor(fileSystem)
  const message = `the files of this volume are not read here: it is ${what}. ${advice}`
  return new UnsupportedError('FILES_NOT_READ', message, { fileSystem, advice })
}

/** The error for files of a file system that threw `cause` when it was opened. */
export function filesLost(cause: Damage): Damage {
  const message = `the file system of this volume is damaged, and its files cannot be listed: ${cause.message}`
  return retold(cause, message, { cause: cause.code }, 'DAMAGED_FILE_SYSTEM')
}
