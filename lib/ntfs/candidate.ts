/** A file that a copy may leave out, and the rules it has to pass. spec-notes/ntfs.md, Left out. */
import { isDamage } from '../errors.ts'
import type { LeftOut } from '../volume/left-out.ts'
import { type AttributeExtent, isCompressed, isEncrypted } from './attribute.ts'
import { runsOf } from './attribute-reader.ts'
import type { DirectoryEntry } from './directory-index.ts'
import { decodeFileName, type FileName, isShortName } from './file-name.ts'
import type { FileRecord } from './file-record.ts'
import { AttributeType, SystemRecord } from './format.ts'
import type { Mft } from './mft.ts'
import { NtfsFile } from './ntfs-file.ts'
import { RunList } from './run-list.ts'

export interface Candidate {
  readonly path: string
  /** 'bad-clusters': those that $BadClus owns, which no file uses. */
  readonly reason: LeftOut['reason'] | 'bad-clusters'
  readonly record: number
  /** Where its clusters lie. */
  readonly runs: RunList
  /** The rule it breaks, as the end of a sentence; it is copied then. */
  objection?: string
}

/** Breaks a rule: the message goes on after `it`. */
class Objection extends Error {}

function check(holds: boolean, objection: string): asserts holds {
  if (!holds) throw new Objection(objection)
}

/** The file of `entry`, which is in `directory`, as a candidate; with its objection when it breaks a rule. */
export async function examine(
  mft: Mft,
  directory: FileRecord,
  entry: DirectoryEntry,
  path: string,
  reason: Candidate['reason'],
): Promise<Candidate> {
  const { record } = entry.reference
  try {
    const file = await NtfsFile.open(mft, entry.reference)
    checkNames(file, directory, entry)
    return { path, reason, record, runs: clustersOf(file, mft) }
  } catch (error) {
    if (!(error instanceof Objection || isDamage(error))) throw error
    const objection = error instanceof Objection ? error.message : `is damaged: ${error.message}`
    return { path, reason, record, runs: new RunList(), objection }
  }
}

/** One file, one name, in that directory, and nothing else that gives its content a meaning of its own. */
function checkNames({ base, attributes }: NtfsFile, directory: FileRecord, entry: DirectoryEntry): void {
  check(base.number >= SystemRecord.firstUser, 'is a file of NTFS itself')
  check(entry.reference.sequence === base.sequence, 'is not the file that its directory names')
  check(!base.directory, 'is a directory')
  check(!attributes.some(({ type }) => type === AttributeType.reparsePoint), 'is a reparse point')
  const names: FileName[] = []
  for (const attribute of attributes) {
    if (attribute.type === AttributeType.fileName && attribute.resident) {
      names.push(decodeFileName(attribute.value, attribute.position))
    }
  }
  const [name, ...others] = names.filter(name => !isShortName(name))
  check(name !== undefined && others.length === 0 && base.linkCount <= names.length, 'has more than one name')
  const { record, sequence } = name.parent
  check(
    record === directory.number && sequence === directory.sequence && name.name === entry.fileName.name,
    'has another name than its directory says',
  )
}

function clustersOf(file: NtfsFile, mft: Mft): RunList {
  const data = file.find(AttributeType.data)
  check(!data.some(attribute => attribute.resident), 'lies in its file record')
  check(!data.some(isCompressed), 'is compressed')
  check(!data.some(isEncrypted), 'is encrypted')
  const extents = data.filter((attribute): attribute is AttributeExtent => !attribute.resident)
  return runsOf(extents, mft.geometry)
}
