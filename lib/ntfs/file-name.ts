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

/** Decodes a $FILE_NAME value that lies at byte `position` of the volume. Throws FormatError (NTFS_FILE_NAME, TRUNCATED). */
export function decodeFileName(value: Buffer, position: number): FileName {
  const { parent, attributes, nameLength, namespace } = fileNameHeader.decode(value, 0, position)
  const end = fileNameHeader.size + 2 * nameLength
  if (nameLength === 0 || end > value.length) {
    throw formatError('NTFS_FILE_NAME', {
      structure: fileNameHeader.name,
      field: 'nameLength',
      position,
      expected: `1 to ${(value.length - fileNameHeader.size) / 2}`,
      actual: `${nameLength}`,
    })
  }
  return { parent, name: value.toString('utf16le', fileNameHeader.size, end), namespace, attributes }
}

/** Whether it is only the short name that DOS programs see of a file that has a longer one. */
export const isShortName = (name: FileName) => name.namespace === Namespace.dos
