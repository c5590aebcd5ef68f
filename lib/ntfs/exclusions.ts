/** Files that a copy leaves out: which ones, and whether they really may be. spec-notes/ntfs.md, Left out. */

import type { BlockDevice } from '../device/block-device.ts'
import { isDamage } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { Patch, UsedSpaceOptions } from '../volume/volume.ts'
import type { AttributeExtent } from './attribute.ts'
import { runsOf } from './attribute-reader.ts'
import { type Candidate, examine } from './candidate.ts'
import { findExcluded } from './excluded-files.ts'
import { type FileTree, ROOT } from './file-tree.ts'
import { AttributeType, SystemRecord } from './format.ts'
import type { Mft } from './mft.ts'
import { NtfsFile } from './ntfs-file.ts'
import { isShadowFile, readShadowCatalog, SHADOW_FOLDER } from './shadow-copies.ts'

/** Files of the root directory that Windows makes anew, or does without, when it starts the next time. */
const ROOT_FILES = { pagefile: 'pagefile.sys', hiberfil: 'hiberfil.sys', swapfile: 'swapfile.sys' } as const

/**
 * Every file that may be left out as far as its records tell; with its objection where they forbid it. What cannot be
 * looked for is added to `findings`.
 */
export async function findCandidates(
  tree: FileTree,
  { keep, exclude, signal }: UsedSpaceOptions,
  findings: Finding[],
): Promise<Candidate[]> {
  const found = new Map<number, Candidate>()
  const gather = async (path: string, find: () => Promise<readonly Candidate[]>) => {
    try {
      for (const candidate of await find()) if (!found.has(candidate.record)) found.set(candidate.record, candidate)
    } catch (error) {
      if (!isDamage(error)) throw error
      findings.push(copied(path, `cannot be looked for: ${error.message}`))
    }
  }
  await gather('\\$BadClus', () => badClusters(tree.mft))
  for (const [kind, name] of Object.entries(ROOT_FILES)) {
    const reason = kind as keyof typeof ROOT_FILES
    if (!keep?.has(reason)) await gather(`\\${name}`, () => rootFile(tree, name, reason))
  }
  if (!keep?.has('shadow-copies')) await gather(`\\${SHADOW_FOLDER}`, () => shadowFiles(tree))
  if (exclude !== undefined) await gather('\\', () => findExcluded(tree, exclude, signal))
  return [...found.values()].filter(({ runs, objection }) => objection !== undefined || runs.clusterCount > 0)
}

/** The code of findings about files that are copied although they were to be left out. */
export const NOT_LEFT_OUT = 'NTFS_NOT_LEFT_OUT'

/** Says that a file is copied although it is one of those that are left out. */
export const copied = (path: string, objection: string): Finding => ({
  code: NOT_LEFT_OUT,
  message: `${path} is copied: it ${objection}`,
  details: { path },
})

async function badClusters(mft: Mft): Promise<Candidate[]> {
  const file = await NtfsFile.open(mft, { record: SystemRecord.badClusters, sequence: 0 })
  const extents = file.find(AttributeType.data, '$Bad').filter((extent): extent is AttributeExtent => !extent.resident)
  const runs = runsOf(extents, mft.geometry)
  return [{ path: '\\$BadClus', reason: 'bad-clusters', record: SystemRecord.badClusters, runs }]
}

async function rootFile(tree: FileTree, name: string, reason: Candidate['reason']): Promise<Candidate[]> {
  const entry = await tree.find(ROOT, name)
  if (entry === undefined) return []
  const root = await tree.mft.record(ROOT)
  return [await examine(tree.mft, root, entry, `\\${entry.fileName.name}`, reason)]
}

async function shadowFiles(tree: FileTree): Promise<Candidate[]> {
  const folder = await tree.find(ROOT, SHADOW_FOLDER)
  if (folder === undefined) return []
  const record = await tree.mft.record(folder.reference)
  const candidates: Candidate[] = []
  for await (const entry of (await tree.directory(folder.reference)).entries()) {
    const { name } = entry.fileName
    if (!isShadowFile(name)) continue
    const path = `\\${folder.fileName.name}\\${name}`
    candidates.push(await examine(tree.mft, record, entry, path, 'shadow-copies'))
  }
  return candidates
}

/**
 * Shadow copies are left out all together or not at all, since each of their files leads to the others. Then nothing may
 * lead to them either: the patch takes the catalog's offset out of the volume. Objections are added to `candidates`.
 */
export async function settleShadowCopies(
  volume: BlockDevice,
  clusterSize: number,
  candidates: readonly Candidate[],
): Promise<Patch[]> {
  const files = candidates.filter(({ reason }) => reason === 'shadow-copies')
  if (files.length === 0) return []
  const object = (objection: string): Patch[] => {
    for (const file of files) file.objection ??= objection
    return []
  }
  const kept = files.find(({ objection }) => objection !== undefined)
  if (kept !== undefined) return object(`belongs with ${kept.path}`)
  const catalog = await readShadowCatalog(volume).catch((error: Error) => error)
  if (catalog instanceof Error) {
    if (!isDamage(catalog)) throw catalog
    return object(`may be led to by what cannot be read: ${catalog.message}`)
  }
  if (catalog === undefined || catalog.offset === 0) return []
  const cluster = Math.floor(catalog.offset / clusterSize)
  const isInside = files.some(({ runs }) => runs.includes(cluster))
  if (!isInside) return object(`may not have the catalog, which is at byte ${catalog.offset} of the volume`)
  return [{ offset: catalog.position, bytes: Buffer.alloc(8), reason: 'the catalog of shadow copies is left out' }]
}
