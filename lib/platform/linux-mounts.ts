/** Which block devices of Linux show the same bytes, and which of them are mounted or swapped to. */
import { readdir, readFile } from 'node:fs/promises'
import { fileIdentity } from '../device/file-identity.ts'
import type { Finding } from '../finding.ts'

/** What is asked of the system. Files and folders that are not there, or not for us, read as nothing. */
export interface LinuxSystem {
  read(path: string): Promise<string>
  list(folder: string): Promise<readonly string[]>
  /** As `fileIdentity` says. */
  identity(path: string): Promise<string | undefined>
}

const thisSystem: LinuxSystem = {
  read: path => readFile(path, 'utf8').catch(() => ''),
  list: folder => readdir(folder).catch(() => []),
  identity: path => fileIdentity(path).catch(() => undefined),
}

/**
 * A finding for each place where the bytes of `path`, a disk, a partition or an image file, are mounted for writing or
 * swapped to: those of its partitions, of what is made of them (encryption, volume groups, RAID) and of loop devices
 * included. Mounts that only other mount namespaces see are not known, and of ZFS pools and of the second and later
 * devices of btrfs the system does not say where they are mounted.
 */
export async function linuxMountsForWriting(path: string, system: LinuxSystem = thisSystem): Promise<Finding[]> {
  const same = await identitiesOfSameBytes(path, system)
  const findings: Finding[] = []
  for (const mount of parseMounts(await system.read('/proc/self/mountinfo'))) {
    if (mount.readOnly) continue
    const isSame =
      same.has(`device ${mount.deviceNumber}`) ||
      // File systems without a device number of their own, such as btrfs and FUSE, name their device or file.
      (mount.source.startsWith('/') && same.has((await system.identity(mount.source)) ?? ''))
    if (!isSame) continue
    findings.push({
      code: 'MOUNTED_READ_WRITE',
      message: `${mount.source} is mounted for writing at ${mount.mountPoint} (${mount.fileSystem}), so it may change while it is read. Unmount it, or mount it read-only`,
      details: { device: mount.source, mountPoint: mount.mountPoint, fileSystem: mount.fileSystem },
    })
  }
  for (const area of parseSwaps(await system.read('/proc/swaps'))) {
    if (!same.has((await system.identity(area)) ?? '')) continue
    findings.push({
      code: 'SWAP_IN_USE',
      message: `the system swaps to ${area}, so it changes while it is read. Turn that off (swapoff ${area})`,
      details: { device: area },
    })
  }
  return findings
}

/** The identities of `path` and of all that shows its bytes or a part of them. */
async function identitiesOfSameBytes(path: string, system: LinuxSystem): Promise<Set<string>> {
  const first = await system.identity(path)
  const loops = await loopDevices(system)
  const found = new Set(first === undefined ? [] : [first])
  // A set gives what is added to it while it is gone through.
  for (const identity of found) {
    for (const { device, backing } of loops) {
      if (identity === backing) found.add(device)
      if (identity === device) found.add(backing)
    }
    const number = /^device (.*)$/.exec(identity)?.[1]
    if (number === undefined) continue
    const folder = `/sys/dev/block/${number}`
    const partitions = (await system.list(folder)).map(name => `${folder}/${name}`)
    const holders = (await system.list(`${folder}/holders`)).map(name => `${folder}/holders/${name}`)
    for (const partition of partitions) {
      if ((await system.read(`${partition}/partition`)) !== '') found.add(await deviceIn(partition, system))
    }
    for (const holder of holders) found.add(await deviceIn(holder, system))
  }
  return found
}

/** Loop devices in use, and the files or devices they show. */
async function loopDevices(system: LinuxSystem): Promise<{ device: string; backing: string }[]> {
  const loops = []
  for (const name of await system.list('/sys/block')) {
    const file = await system.read(`/sys/block/${name}/loop/backing_file`)
    const backing = file === '' ? undefined : await system.identity(file.replace(/\n$/, ''))
    if (backing !== undefined) loops.push({ device: await deviceIn(`/sys/block/${name}`, system), backing })
  }
  return loops
}

const deviceIn = async (folder: string, system: LinuxSystem) => `device ${(await system.read(`${folder}/dev`)).trim()}`

interface Mount {
  readonly deviceNumber: string
  readonly mountPoint: string
  readonly fileSystem: string
  readonly source: string
  /** Of the file system, not of this mount: one that is mounted twice may be written at the other place. */
  readonly readOnly: boolean
}

/** /proc/self/mountinfo, as proc_pid_mountinfo(5) describes it. */
function parseMounts(text: string): Mount[] {
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      // 36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/sda1 rw,errors=continue
      const [place, kind] = line.split(' - ')
      const [, , deviceNumber, , mountPoint] = place!.split(' ')
      const [fileSystem, source, options] = (kind ?? '').split(' ')
      return {
        deviceNumber: deviceNumber ?? '',
        mountPoint: unescapeName(mountPoint ?? ''),
        fileSystem: fileSystem ?? '',
        source: unescapeName(source ?? ''),
        readOnly: (options ?? '').split(',').includes('ro'),
      }
    })
}

/** The files and devices in /proc/swaps. */
const parseSwaps = (text: string) =>
  text
    .split('\n')
    .slice(1)
    .filter(line => line !== '')
    .map(line => unescapeName(line.split(/\s/)[0]!))

/** The kernel writes blanks and backslashes of names in octal. */
const unescapeName = (name: string) =>
  name.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
