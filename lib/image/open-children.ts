/** Who would be harmed if an image were written to, spec-notes/images.md, "Children". */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { FileDevice } from '../device/file-device.ts'
import { DiskImageError, RefusedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { readImage } from './chain-image.ts'
import { HostFolders, hostFile } from './open-host-files.ts'
import { imageFormat } from './open-image.ts'

/** Files of a folder that are looked at. Each is opened and costs a few milliseconds. */
const MAX_FILES = 1_000

/** The image that is asked about. */
export interface PossibleParent {
  readonly path: string
  /** Of its file. */
  readonly identity: string
  /** What children know it by. */
  readonly id: string
}

/** What was found of an image's children. */
export interface KnownChildren {
  readonly paths: readonly string[]
  readonly findings: readonly Finding[]
}

/**
 * The images that lie beside `parent`, or beside the link to it, and name it as their parent. Only names that end like
 * those of images are looked at; what cannot be read is no child. `except`: identities of files that do not count.
 */
export async function findChildren(parent: PossibleParent, except: readonly string[] = []): Promise<KnownChildren> {
  const paths: string[] = []
  const findings: Finding[] = []
  const seen = new Set([parent.identity, ...except])
  for (const folder of await new HostFolders().foldersOf(parent.path)) {
    const names = (await readdir(folder).catch(() => [])).filter(name => /\.(a?vhdx|vhd)$/i.test(name)).sort()
    for (const name of names.slice(0, MAX_FILES)) {
      const path = join(folder, name)
      if (await isChild(path, parent.id, seen)) paths.push(path)
    }
    if (names.length > MAX_FILES) findings.push(tooMany(folder, names.length))
  }
  return { paths, findings }
}

/** Throws RefusedError (HAS_CHILDREN) when `parent` has children. Returns what else is to be said. */
export async function refuseChildren(
  parent: PossibleParent,
  except: readonly string[] = [],
): Promise<readonly Finding[]> {
  const { paths, findings } = await findChildren(parent, except)
  if (paths.length === 0) return findings
  const [names, they] = [paths.join(', '), paths.length === 1 ? 'it' : 'they']
  throw new RefusedError(
    'HAS_CHILDREN',
    `${parent.path} is the parent of ${names}: ${they} would not fit it any more, and be worth nothing. Write to a child instead, or merge or delete ${they === 'it' ? 'it' : 'them'} first; --force writes all the same`,
    { path: parent.path, children: paths },
  )
}

/** `seen`: identities of files that are passed over; this one is added. */
async function isChild(path: string, id: string, seen: Set<string>): Promise<boolean> {
  try {
    // Without a lock: who uses it meanwhile is not disturbed.
    await using device = await FileDevice.open(path, { lock: 'none' })
    if (seen.has(device.identity)) return false
    seen.add(device.identity)
    const file = await hostFile(device)
    const format = await imageFormat(file)
    return format !== 'raw' && (await readImage(file, format)).parent?.ids.includes(id) === true
  } catch (error) {
    if (error instanceof DiskImageError) return false
    throw error
  }
}

function tooMany(folder: string, count: number): Finding {
  const message = `${folder} has ${count} images, of which ${MAX_FILES} were asked whether they are children of this one`
  return { code: 'CHILDREN_NOT_ALL_SOUGHT', message, details: { folder, count, limit: MAX_FILES } }
}
