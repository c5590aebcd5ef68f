/** A name of a file, which also says in which directory it is. spec-notes/ntfs.md, File name. */
import { formatError } from '../errors.ts'
import { type FileReference, fileNameHeader, Namespace } from './format.ts'

export interface FileName {
  readonly parent: FileReference
  /** May hold unpaired surrogates. */
  readonly name: string
  readonly namespace: number
  /** FILE_ATTRIBUTE bits, as they were when the name was last changed. */
  readonly attributes: number
}

/**
 * Decodes a $FILE_NAME value that lies at byte `position` of the volume. Directories have millions of them, so it reads
 * the bytes where they are. Throws FormatError (NTFS_FILE_NAME).
 */
export function decodeFileName(value: Buffer, position: number): FileName {
  const nameLength = value.length < fileNameHeader.size ? 0 : value[0x40]!
  const end = fileNameHeader.size + 2 * nameLength
  if (nameLength === 0 || end > value.length) {
    throw formatError('NTFS_FILE_NAME', {
      structure: fileNameHeader.name,
      field: 'nameLength',
      position,
      expected: `1 to ${Math.floor((value.length - fileNameHeader.size) / 2)}`,
      actual: `${nameLength}`,
    })
  }
  return {
    parent: { record: value.readUIntLE(0, 6), sequence: value.readUInt16LE(6) },
    name: value.toString('utf16le', fileNameHeader.size, end),
    namespace: value[0x41]!,
    attributes: value.readUInt32LE(0x38),
  }
}

/** Whether it is only the short name that DOS programs see of a file that has a longer one. */
export const isShortName = (name: FileName) => name.namespace === Namespace.dos
