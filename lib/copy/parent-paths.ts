/** How a child names its parent by its place on this system, spec-notes/images.md, "Naming a parent". */
import { realpath } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative, resolve, toNamespacedPath } from 'node:path'
import { withStorageErrors } from '../device/storage-error.ts'
import { isWindows } from '../device/windows-path.ts'
import { OptionError } from '../errors.ts'
import { volumePath } from '../platform/volume-path.ts'
import type { ParentPaths } from '../vhdx/parent-locator.ts'

/**
 * All paths by which the image at `child` can name the one at `parent`, which is there: relative, and on Windows by volume
 * and absolute. The folder of the child has to be there. Throws OptionError (PARENT_NAME), NotFoundError, StorageError.
 */
export async function pathsToParent(child: string, parent: string): Promise<ParentPaths> {
  const [from, to] = [await realFolder(child), join(await realFolder(parent), basename(parent))]
  const path = relative(from, to)
  if (!isWindows) return { relative_path: relativePath(path, parent) }
  const volume = await volumePath(to)
  return {
    ...(isAbsolute(path) ? {} : { relative_path: relativePath(path, parent) }),
    ...(volume === undefined ? {} : { volume_path: volume }),
    absolute_win32_path: toNamespacedPath(to),
  }
}

/** A link among the folders would lead `..` elsewhere. The last name stays as the user gave it. */
const realFolder = (path: string) =>
  withStorageErrors({ verb: 'examine', path: dirname(path) }, () => realpath(dirname(resolve(path))))

function relativePath(path: string, parent: string): string {
  if (!isWindows && path.includes('\\')) {
    const message = `${parent} cannot be named in a VHDX, where a backslash in a name separates folders. Rename it`
    throw new OptionError('PARENT_NAME', message, { path: parent })
  }
  const names = path.replaceAll('/', '\\')
  return names.startsWith('..\\') ? names : `.\\${names}`
}
