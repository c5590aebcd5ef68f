/** The footer at the end of the file and its copy at the start, spec-notes/vhd.md, "Hard disk footer". */
import type { ByteSource } from '../device/block-device.ts'
import { formatError, hex, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { checksumWithout } from './checksum.ts'
import { EPOCH, FIXED, type Footer, footer, MAJOR_VERSION, OLD_FOOTER_SIZE, VHD_TYPES, type VhdType } from './format.ts'

/** A footer that can be relied on. */
export interface FoundFooter {
  readonly footer: Footer
  /** Absolute byte of the one that was used. */
  readonly position: number
  readonly type: VhdType
  /** Where everything else of the file has to end: byte of the last footer, or the end of a file that has none. */
  readonly end: number
  readonly findings: readonly Finding[]
}

interface Copy {
  readonly position: number
  /** 512 bytes, the last one added where the file has only 511. */
  readonly bytes: Buffer
  readonly flaw: 'cookie' | 'checksum' | undefined
}

/**
 * Finds the footer, by its copy where it is bad. Throws FormatError (VHD_FOOTER, VHD_TRUNCATED …) and
 * UnsupportedError (VHD_VERSION, VHD_TYPE).
 */
export async function readFooter(file: ByteSource): Promise<FoundFooter> {
  const last = await readLast(file)
  const copy = await readCopy(file, 0, footer.size)
  const { chosen, findings } = choose(file, last, copy)
  const found = footer.decode(chosen.bytes, 0, chosen.position)
  const type = typeOf(found, chosen.position)
  const end = last.flaw === 'cookie' ? file.size : last.position
  if (type === 'fixed' && found.currentSize > end) throw cutShort(found, chosen.position, end)
  if (type !== 'fixed' && chosen === last) findings.push(...copyFindings(last, copy))
  if (found.savedState === 1) findings.push(savedState(chosen.position))
  return { footer: found, position: chosen.position, type, end, findings }
}

/** When a footer or a header says it was written; undefined where it says nothing. */
export const dateOf = (timestamp: number) => (timestamp === 0 ? undefined : new Date(EPOCH + timestamp * 1000))

/** The program that made the file, by its own word: `win 10.0`. */
export const creatorOf = ({ creatorApplication, creatorVersion }: Footer) =>
  `${creatorApplication
    .toString('latin1')
    .replaceAll(/[^\x20-\x7e]/g, '')
    .trim()} ${Math.floor(creatorVersion / 0x10000)}.${creatorVersion % 0x10000}`.trim()

/** The last footer: 512 bytes long, or 511 as the oldest programs wrote it. */
async function readLast(file: ByteSource): Promise<Copy> {
  const last = await readCopy(file, file.size - footer.size, footer.size)
  if (last.flaw === undefined) return last
  const old = await readCopy(file, file.size - OLD_FOOTER_SIZE, OLD_FOOTER_SIZE)
  return old.flaw === undefined ? old : last
}

async function readCopy(file: ByteSource, position: number, length: number): Promise<Copy> {
  const bytes = Buffer.alloc(footer.size)
  if (position < 0 || position + length > file.size) return { position, bytes, flaw: 'cookie' }
  await file.read(position, bytes.subarray(0, length))
  return { position, bytes, flaw: flawOf(bytes) }
}

function flawOf(bytes: Buffer): Copy['flaw'] {
  if (!footer.matches(bytes)) return 'cookie'
  const at = footer.offsetOf('checksum')
  return bytes.readUInt32BE(at) === checksumWithout(bytes, at) ? undefined : 'checksum'
}

/** The last footer, else its copy, else that of a fixed image whose size proves the footer in spite of its checksum. */
function choose(file: ByteSource, last: Copy, copy: Copy): { chosen: Copy; findings: Finding[] } {
  if (last.flaw === undefined) return { chosen: last, findings: [] }
  const details = { position: last.position }
  if (copy.flaw === undefined && diskType(copy) !== FIXED) {
    const message = `the footer at the end of the file, byte ${hex(last.position)}, is bad (${last.flaw}): its copy at byte 0 was used`
    return { chosen: copy, findings: [{ code: 'VHD_FOOTER_COPY_USED', message, details }] }
  }
  if (last.flaw === 'checksum' && isExactlyFixed(last)) {
    const message = `the checksum of the footer at byte ${hex(last.position)} is wrong; the file has just the size that a fixed disk of ${file.size - footer.size} bytes has, and was taken for one`
    return { chosen: last, findings: [{ code: 'VHD_FOOTER_CHECKSUM', message, details }] }
  }
  throw formatError('VHD_FOOTER', {
    structure: footer.name,
    field: last.flaw,
    position: Math.max(last.position, 0),
    expected: 'good at the end of the file, or in a copy at byte 0',
    actual: 'bad in both',
    advice:
      'This is no VHD file, or it was cut short: copy it again. A fixed one, or a raw disk that only ends like a VHD, is read with --format raw',
  })
}

const diskType = ({ bytes }: Copy) => bytes.readUInt32BE(footer.offsetOf('diskType'))

const isExactlyFixed = (last: Copy) =>
  diskType(last) === FIXED && last.bytes.readBigUInt64BE(footer.offsetOf('currentSize')) === BigInt(last.position)

function typeOf({ version, diskType }: Footer, position: number): VhdType {
  if (Math.floor(version / 0x10000) !== MAJOR_VERSION) {
    throw new UnsupportedError(
      'VHD_VERSION',
      `the VHD footer at byte ${hex(position)} has version ${hex(version)}, and only ${MAJOR_VERSION}.x is known`,
      { position, version },
    )
  }
  const type = VHD_TYPES[diskType]
  if (type !== undefined) return type
  throw new UnsupportedError(
    'VHD_TYPE',
    `the VHD footer at byte ${hex(position)} gives the disk type ${diskType}: known are 2 (fixed), 3 (dynamic) and 4 (differencing)`,
    { position, diskType },
  )
}

function copyFindings(last: Copy, copy: Copy): Finding[] {
  const details = { position: 0 }
  if (copy.flaw !== undefined) {
    const message = `the copy of the footer at byte 0 is bad (${copy.flaw}): the one at the end of the file was used`
    return [{ code: 'VHD_FOOTER_COPY_BAD', message, details }]
  }
  if (copy.bytes.equals(last.bytes)) return []
  const message = 'the footer at the end of the file and its copy at byte 0 differ: the one at the end was used'
  return [{ code: 'VHD_FOOTERS_DIFFER', message, details }]
}

const savedState = (position: number): Finding => ({
  code: 'VHD_SAVED_STATE',
  message:
    'the machine this disk belongs to was suspended, not shut down: what it had not yet written is not on the disk',
  details: { position: position + footer.offsetOf('savedState') },
})

const cutShort = ({ currentSize }: Footer, position: number, end: number) =>
  formatError('VHD_TRUNCATED', {
    structure: footer.name,
    field: 'currentSize',
    position: position + footer.offsetOf('currentSize'),
    expected: `at most the ${end} bytes before the footer`,
    actual: `${currentSize}`,
    advice: 'The file was cut short: copy it again. A raw disk that only ends like a VHD is read with --format raw',
  })
