/** The file identifier, [MS-VHDX] 2.2.1. */
import { fileIdentifier } from './format.ts'
import type { StructureReader } from './structure-reader.ts'

/** The creator's free text, up to its NUL; undefined when this is no VHDX file. */
export async function readFileIdentifier(reader: StructureReader): Promise<string | undefined> {
  const bytes = await reader.read(fileIdentifier.name, { offset: 0, length: fileIdentifier.size })
  if (bytes === undefined) return undefined
  if (!fileIdentifier.matches(bytes)) {
    reader.report('IDENTIFIER_SIGNATURE', {
      structure: fileIdentifier.name,
      field: 'signature',
      position: 0,
      expected: "'vhdxfile'",
      actual: `0x${bytes.toString('hex', 0, 8)}`,
    })
    return undefined
  }
  return fileIdentifier.decode(bytes).creator.toString('utf16le').split('\0', 1)[0]
}
