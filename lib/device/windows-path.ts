/**
 * Names of disks and volumes on Windows, and how to get them past Node.
 *
 * Node sends each path through `path.toNamespacedPath`, which in many versions appends a backslash to a name of one
 * component such as `\\.\PhysicalDrive0`: that opens the root folder of a file system, which fails (nodejs/node 54025).
 * Names below `\\?\GLOBALROOT\` have more components and come through unchanged in every version. A path that is a
 * Buffer skips the function up to 22.5, whose copy of it is written in JavaScript; the C++ copy of later versions takes
 * Buffers too (22.14 does so under wine). Wine in turn has nothing below GLOBALROOT.
 */

export const isWindows = process.platform === 'win32'

export interface WindowsName {
  /** 'file' is everything that is not a whole disk or a volume. */
  readonly kind: 'file' | 'disk' | 'volume'
  /** What to open, best first: the next one serves where the system does not know the one before. */
  readonly paths: readonly (string | Buffer)[]
}

/** Names with one component below `\\.\` or `\\?\`, and the device where the name tells it. */
const BARE_NAMES: readonly [RegExp, WindowsName['kind'], device?: (number: string) => string][] = [
  // Partition0 is the disk itself.
  [/^PhysicalDrive(\d+)$/i, 'disk', number => `Device\\Harddisk${number}\\Partition0`],
  [/^HarddiskVolume(\d+)$/i, 'volume', number => `Device\\HarddiskVolume${number}`],
  [/^[a-z]:$/i, 'volume'],
  [/^Volume\{[0-9a-f-]{36}\}$/i, 'volume'],
]

const PREFIX = /^\\\\[.?]\\/
const GLOBAL_DISK = /^GLOBALROOT\\(Device\\Harddisk\d+\\(Partition0|DR\d+)|GLOBAL\?\?\\PhysicalDrive\d+)$/i
const GLOBAL_VOLUME =
  /^GLOBALROOT\\(Device\\(HarddiskVolume(ShadowCopy)?\d+|Harddisk\d+\\Partition\d+)|GLOBAL\?\?\\([a-z]:|HarddiskVolume\d+|Volume\{[0-9a-f-]{36}\}))$/i

/**
 * What `path` names on Windows. A name of a disk or a volume loses a trailing backslash, which would name the root
 * folder of its file system; slashes may be written forwards. The path of a file comes back as it is.
 */
export function windowsName(path: string): WindowsName {
  const raw = path.replaceAll('/', '\\')
  if (PREFIX.test(raw)) {
    const name = raw.slice(4).replace(/\\$/, '')
    for (const [pattern, kind, device] of BARE_NAMES) {
      const match = pattern.exec(name)
      if (match === null) continue
      // GLOBAL?? is the folder of the links that all bare names are.
      const objects = [...(device === undefined ? [] : [device(match[1]!)]), `GLOBAL??\\${name}`]
      const paths = objects.map(object => `\\\\?\\GLOBALROOT\\${object}`)
      return { kind, paths: [...paths, Buffer.from(`\\\\.\\${name}`)] }
    }
    if (GLOBAL_DISK.test(name)) return { kind: 'disk', paths: [raw.slice(0, 4) + name] }
    if (GLOBAL_VOLUME.test(name)) return { kind: 'volume', paths: [raw.slice(0, 4) + name] }
  }
  return { kind: 'file', paths: [path] }
}

/** Whether `path` names a shadow copy of a volume: a snapshot, which nobody writes to. */
export const isShadowCopy = (path: string) => /\\HarddiskVolumeShadowCopy\d+\\?$/i.test(path.replaceAll('/', '\\'))
