/**
 * Names of disks and volumes on Windows, and how to get them past Node.
 *
 * Node sends each path through `path.toNamespacedPath`, which in many versions appends a backslash to a name of one
 * component such as `\\.\PhysicalDrive0`: that opens the root folder of a file system, which fails (nodejs/node 54025).
 * Names below `\\?\GLOBALROOT\` have more components and come through unchanged in every version. A path that is a
 * Buffer skips the function in the versions whose copy of it is written in JavaScript.
 */

export const isWindows = process.platform === 'win32'

export interface WindowsName {
  /** 'file' is everything that is not a whole disk or a volume. */
  readonly kind: 'file' | 'disk' | 'volume'
  /** What to open, best first: the next one serves where the system does not know the one before. */
  readonly paths: readonly (string | Buffer)[]
}

/** The object below `\\.\` or `\\?\` that a bare name stands for, in order of GLOBALROOT path, kind. */
const BARE_NAMES: readonly [RegExp, WindowsName['kind'], (match: RegExpExecArray) => string][] = [
  // Partition0 is the disk itself.
  [/^PhysicalDrive(\d+)$/i, 'disk', ([, number]) => `Device\\Harddisk${number}\\Partition0`],
  [/^HarddiskVolume(\d+)$/i, 'volume', ([, number]) => `Device\\HarddiskVolume${number}`],
  // Links to volumes, whose targets only QueryDosDevice knows. The folder of all such links is GLOBAL??.
  [/^[a-z]:$/i, 'volume', ([name]) => `GLOBAL??\\${name}`],
  [/^Volume\{[0-9a-f-]{36}\}$/i, 'volume', ([name]) => `GLOBAL??\\${name}`],
]

const PREFIX = /^\\\\[.?]\\/
const GLOBAL_DISK = /^GLOBALROOT\\Device\\Harddisk\d+\\(Partition0|DR\d+)$/i
const GLOBAL_VOLUME =
  /^GLOBALROOT\\(Device\\(HarddiskVolume(ShadowCopy)?\d+|Harddisk\d+\\Partition\d+)|GLOBAL\?\?\\([a-z]:|Volume\{[0-9a-f-]{36}\}))$/i

/**
 * What `path` names on Windows. A name of a disk or a volume loses a trailing backslash, which would name the root
 * folder of its file system; slashes may be written forwards. The path of a file comes back as it is.
 */
export function windowsName(path: string): WindowsName {
  const raw = path.replaceAll('/', '\\')
  if (PREFIX.test(raw)) {
    const name = raw.slice(4).replace(/\\$/, '')
    for (const [pattern, kind, target] of BARE_NAMES) {
      const match = pattern.exec(name)
      if (match !== null) {
        return { kind, paths: [`\\\\?\\GLOBALROOT\\${target(match)}`, Buffer.from(`\\\\.\\${name}`)] }
      }
    }
    if (GLOBAL_DISK.test(name)) return { kind: 'disk', paths: [raw.slice(0, 4) + name] }
    if (GLOBAL_VOLUME.test(name)) return { kind: 'volume', paths: [raw.slice(0, 4) + name] }
  }
  return { kind: 'file', paths: [path] }
}

/** Whether `path` names a shadow copy of a volume: a snapshot, which nobody writes to. */
export const isShadowCopy = (path: string) => /\\HarddiskVolumeShadowCopy\d+\\?$/i.test(path.replaceAll('/', '\\'))
