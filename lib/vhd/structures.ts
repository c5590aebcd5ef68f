/** All of a VHD file but its blocks. */
import type { ByteSource } from '../device/block-device.ts'
import type { Finding } from '../finding.ts'
import { type FoundHeader, readDynamicHeader } from './dynamic-header.ts'
import { readFooter } from './footer.ts'
import type { Footer, VhdType } from './format.ts'
import { readParent, type VhdParent } from './parent-locator.ts'

export interface VhdStructures {
  readonly type: VhdType
  readonly footer: Footer
  /** Byte of the file where blocks have to end. */
  readonly end: number
  /** Undefined for a fixed image. */
  readonly dynamic: FoundHeader | undefined
  /** Undefined for all but a differencing image. */
  readonly parent: VhdParent | undefined
  readonly findings: readonly Finding[]
}

/** Reads and checks every structure of `file`. Never reads the block allocation table. Throws FormatError, UnsupportedError. */
export async function readVhdStructures(file: ByteSource): Promise<VhdStructures> {
  const found = await readFooter(file)
  const { footer, type, end } = found
  if (type === 'fixed') return { ...found, dynamic: undefined, parent: undefined }
  const dynamic = await readDynamicHeader(file, found)
  if (type === 'dynamic') return { ...found, dynamic, parent: undefined }
  const { parent, findings } = await readParent(file, dynamic)
  return { type, footer, end, dynamic, parent, findings: [...found.findings, ...findings] }
}
