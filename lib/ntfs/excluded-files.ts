/** Files that the user wants left out, found among all files by their full path. spec-notes/ntfs.md, Left out. */
import { isDamage } from '../errors.ts'
import { type Candidate, examine } from './candidate.ts'
import { DirectoryPaths } from './directory-paths.ts'
import { decodeFileName, type FileName, isShortName } from './file-name.ts'
import type { FileTree } from './file-tree.ts'
import { AttributeType, type FileReference, Namespace, RecordFlag, SystemRecord } from './format.ts'
import { NtfsFile } from './ntfs-file.ts'
import { recordsInUse } from './record-scan.ts'
import { RunList } from './run-list.ts'
import { SHADOW_FOLDER } from './shadow-copies.ts'

/** Where files belong to NTFS or to Windows' own keeping, and are never the user's to leave out. */
const KEPT_FOLDERS = ['$Extend', SHADOW_FOLDER]

/** Every file with clusters whose path `exclude` says yes to, by one scan of $MFT. */
export async function findExcluded(
  tree: FileTree,
  exclude: (path: string) => boolean,
  signal?: AbortSignal,
): Promise<Candidate[]> {
  const { mft, upcase } = tree
  const paths = new DirectoryPaths(mft)
  const found: Candidate[] = []
  const { recordSize } = mft.geometry
  for await (const { first, records } of mft.pieces(signal)) {
    for (const at of recordsInUse({ first, records }, recordSize, () => {})) {
      const number = first + at / recordSize
      const summary = number < SystemRecord.firstUser ? undefined : summarize(records, at, recordSize)
      if (summary === undefined) continue
      const reference = { record: number, sequence: summary.sequence }
      const names = summary.listed ? await allNames(tree, reference) : summary.names
      for (const name of names) {
        const path = await matchingPath(name)
        if (path === undefined) continue
        found.push(await check(reference, name, path))
        break
      }
    }
  }
  return found

  async function matchingPath({ parent, name }: Name): Promise<string | undefined> {
    const folder = await paths.pathOf(parent)
    if (folder === undefined) return undefined
    const top = folder.split('\\', 2)[1] ?? ''
    if (KEPT_FOLDERS.some(kept => upcase.compare(kept, top) === 0)) return undefined
    const path = `${folder}\\${name}`
    return exclude(path) ? path : undefined
  }

  async function check(reference: FileReference, { parent, name }: Name, path: string): Promise<Candidate> {
    const refused = { path, reason: 'excluded', record: reference.record, runs: new RunList() } as const
    try {
      const entry = await tree.find(parent, name)
      if (entry?.reference.record === reference.record) {
        return await examine(mft, await mft.record(parent), entry, path, 'excluded')
      }
      return { ...refused, objection: 'is not the file that its directory names' }
    } catch (error) {
      if (!isDamage(error)) throw error
      return { ...refused, objection: `is in a directory that cannot be read: ${error.message}` }
    }
  }
}

type Name = Pick<FileName, 'parent' | 'name'>

interface Summary {
  readonly sequence: number
  readonly names: readonly Name[]
  /** Whether there is an attribute list, so that there may be more names elsewhere. */
  readonly listed: boolean
}

/**
 * What a search has to know of the record at `at`: undefined for an extension record, a directory, and a file whose
 * content lies in the record. Millions of records pass here, so it reads the bytes where they are.
 */
function summarize(records: Buffer, at: number, recordSize: number): Summary | undefined {
  const flags = records.readUInt16LE(at + 0x16)
  const isBase = records.readUInt32LE(at + 0x20) === 0 && records.readUInt32LE(at + 0x24) === 0
  if (!isBase || (flags & (RecordFlag.directory | RecordFlag.viewIndex)) !== 0) return undefined
  const end = at + Math.min(records.readUInt32LE(at + 0x18), recordSize)
  const names: Name[] = []
  let [listed, hasClusters] = [false, false]
  for (let attribute = at + records.readUInt16LE(at + 0x14); attribute + 24 <= end; ) {
    const type = records.readUInt32LE(attribute)
    const length = records.readUInt32LE(attribute + 4)
    if (type === AttributeType.end || length < 24 || attribute + length > end) break
    if (type === AttributeType.attributeList) listed = true
    else if (type === AttributeType.data) hasClusters ||= records[attribute + 8] !== 0 && records[attribute + 9] === 0
    else if (type === AttributeType.fileName) {
      const value = attribute + records.readUInt16LE(attribute + 0x14)
      const name = readName(records, value, attribute + length)
      if (name !== undefined) names.push(name)
    }
    attribute += length
  }
  return listed || hasClusters ? { sequence: records.readUInt16LE(at + 0x10), names, listed } : undefined
}

/** The name in the $FILE_NAME value at `at`; undefined for a short name and for one that goes over `end`. */
function readName(records: Buffer, at: number, end: number): Name | undefined {
  if (at + 66 > end || records[at + 0x41] === Namespace.dos) return undefined
  const nameEnd = at + 66 + 2 * records[at + 0x40]!
  if (nameEnd > end) return undefined
  const parent = { record: records.readUIntLE(at, 6), sequence: records.readUInt16LE(at + 6) }
  return { parent, name: records.toString('utf16le', at + 66, nameEnd) }
}

async function allNames(tree: FileTree, reference: FileReference): Promise<Name[]> {
  try {
    const file = await NtfsFile.open(tree.mft, reference)
    const names = file.find(AttributeType.fileName).filter(attribute => attribute.resident)
    return names
      .map(attribute => decodeFileName(attribute.value, attribute.position))
      .filter(name => !isShortName(name))
  } catch (error) {
    if (isDamage(error)) return []
    throw error
  }
}
