/** All of a VHD file but its blocks. */
import type { ByteSource } from '../device/block-device.ts'
import { type FoundHeader, readDynamicHeader } from './dynamic-header.ts'
import { type FoundFooter, readFooter } from './footer.ts'
import { readParent, type VhdParent } from './parent-locator.ts'

export interface VhdStructures extends FoundFooter {
  /** Undefined for a fixed image. */
  readonly dynamic: FoundHeader | undefined
  /** Undefined for all but a differencing image. */
  readonly parent: VhdParent | undefined
}

/** Reads and checks every structure of `file`. Never reads the block allocation table. Throws FormatError, UnsupportedError. */
export async function readVhdStructures(file: ByteSource): Promise<VhdStructures> {
  const found = await readFooter(file)
  if (found.type === 'fixed') return { ...found, dynamic: undefined, parent: undefined }
  const dynamic = await readDynamicHeader(file, found)
  if (found.type === 'dynamic') return { ...found, dynamic, parent: undefined }
  const { parent, findings } = await readParent(file, dynamic)
  return { ...found, dynamic, parent, findings: [...found.findings, ...findings] }
}
