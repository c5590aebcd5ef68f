/** Paths as Windows writes them into images, and the places they can stand for elsewhere. Pure. */

/** A path, taken apart. */
export interface ParentPath {
  /** As it stands in the image. */
  readonly text: string
  /** What an absolute path begins with: `C:`, `Volume{…}`, `\\server\share`, '' for a bare root; undefined for a relative one. */
  readonly root: string | undefined
  /** Without '.', with '..'. */
  readonly names: readonly string[]
}

/** `\\?\C:`, `\\?\Volume{guid}`, `\\?\UNC\server\share`, `\\server\share`, `C:`. */
const ROOT = /^(?:\\\\[?.]\\)?(?:UNC\\([^\\]+\\[^\\]+)|(Volume\{[^}]*\}|[a-z]:))(?=\\|$)|^\\\\([^\\?.][^\\]*\\[^\\]+)/i

/** No path of Windows has more names than this. */
const MAX_NAMES = 16_384

/** Takes `text` apart; slashes and backslashes both separate names. */
export function parsePath(text: string): ParentPath {
  const path = text.replaceAll('/', '\\')
  const match = ROOT.exec(path)
  const share = match?.[1] ?? match?.[3]
  const root = share === undefined ? match?.[2] : `\\\\${share}`
  const names = path
    .slice(match?.[0].length ?? 0)
    .split('\\', MAX_NAMES)
    .filter(name => name !== '' && name !== '.')
  return { text, root: root ?? (path.startsWith('\\') ? '' : undefined), names }
}

/** The ends of a path that is no longer where it was, the longest first: `a\b\c.vhdx`, `b\c.vhdx`, `c.vhdx`. */
export function* suffixes({ names }: ParentPath): Iterable<readonly string[]> {
  const known = names.slice(names.lastIndexOf('..') + 1).slice(-MAX_SUFFIX)
  for (let start = 0; start < known.length; start++) yield known.slice(start)
}

/** Folders deeper than this below where an image is, or was, are not looked for. */
const MAX_SUFFIX = 16
