/** The header of dynamic and differencing images, spec-notes/vhd.md, "Dynamic disk header". */
import { exactNumber } from '../binary/fields.ts'
import { isPowerOfTwo } from '../binary/size.ts'
import type { ByteSource } from '../device/block-device.ts'
import { formatError, hex } from '../errors.ts'
import { checksumWithout } from './checksum.ts'
import type { FoundFooter } from './footer.ts'
import {
  BAT_ENTRY_SIZE,
  type DynamicHeader,
  dynamicHeader,
  footer,
  MAJOR_VERSION,
  MAX_BLOCK_SIZE,
  MIN_BLOCK_SIZE,
} from './format.ts'
import { blockCountOf } from './layout.ts'

/** The header, and what follows from it and the disk's size. */
export interface FoundHeader {
  readonly header: DynamicHeader
  /** Absolute byte. */
  readonly position: number
  readonly blockSize: number
  readonly blockCount: number
}

/** Reads and checks the header that `found` leads to. Throws FormatError (VHD_HEADER, VHD_BLOCK_SIZE, VHD_BAT_PLACE). */
export async function readDynamicHeader(file: ByteSource, found: FoundFooter): Promise<FoundHeader> {
  const { currentSize, dataOffset } = found.footer
  const fail = (code: string, field: string, position: number, expected: string, actual: string) => {
    throw formatError(code, { structure: dynamicHeader.name, field, position, expected, actual, advice: RESTORE })
  }
  const limit = found.end - dynamicHeader.size
  if (dataOffset < BigInt(footer.size) || dataOffset > BigInt(Math.max(limit, 0))) {
    throw formatError('VHD_HEADER', {
      structure: footer.name,
      field: 'dataOffset',
      position: found.position + footer.offsetOf('dataOffset'),
      expected: `from ${hex(footer.size)} to ${hex(Math.max(limit, 0))}`,
      actual: hex(dataOffset),
      advice: RESTORE,
    })
  }
  const position = exactNumber(dataOffset)
  const bytes = Buffer.alloc(dynamicHeader.size)
  await file.read(position, bytes)
  const at = (field: Parameters<typeof dynamicHeader.offsetOf>[0]) => position + dynamicHeader.offsetOf(field)

  const header = dynamicHeader.decode(bytes, 0, position)
  const checksum = checksumWithout(bytes, dynamicHeader.offsetOf('checksum'))
  if (header.checksum !== checksum) fail('VHD_HEADER', 'checksum', at('checksum'), hex(checksum), hex(header.checksum))
  if (Math.floor(header.version / 0x10000) !== MAJOR_VERSION)
    fail('VHD_HEADER', 'version', at('version'), `${MAJOR_VERSION}.x`, hex(header.version))
  const { blockSize, maxTableEntries, tableOffset } = header
  if (!isPowerOfTwo(blockSize) || blockSize < MIN_BLOCK_SIZE || blockSize > MAX_BLOCK_SIZE)
    fail('VHD_BLOCK_SIZE', 'blockSize', at('blockSize'), 'a power of two from 4 KiB to 256 MiB', `${blockSize}`)
  const blockCount = blockCountOf(currentSize, blockSize)
  if (maxTableEntries < blockCount) {
    const expected = `at least ${blockCount} for a disk of ${currentSize} bytes`
    fail('VHD_BAT_PLACE', 'maxTableEntries', at('maxTableEntries'), expected, `${maxTableEntries}`)
  }
  const lastPlace = found.end - blockCount * BAT_ENTRY_SIZE
  if (tableOffset < footer.size || tableOffset > lastPlace) {
    const expected = `from ${hex(footer.size)} on, with ${blockCount} entries before byte ${hex(found.end)}`
    fail('VHD_BAT_PLACE', 'tableOffset', at('tableOffset'), expected, hex(tableOffset))
  }
  return { header, position, blockSize, blockCount }
}

const RESTORE = 'Restore the file from a copy'
