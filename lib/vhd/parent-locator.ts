/** What a differencing image says of its parent, spec-notes/vhd.md, "Parent locators". */
import type { ByteSource } from '../device/block-device.ts'
import type { Range } from '../device/ranges.ts'
import { hex } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { FoundHeader } from './dynamic-header.ts'
import { dateOf } from './footer.ts'
import { dynamicHeader, MAX_LOCATOR_LENGTH, type ParentLocatorEntry, parentLocator } from './format.ts'

export interface VhdParent {
  /** What the parent's footer must have as its unique id. */
  readonly uniqueId: string
  /** When the parent's file was last changed before this one was made; Windows of today leaves it out. */
  readonly modified: Date | undefined
  /** Where to look, best first: relative to this file, absolute, the bare name. */
  readonly paths: readonly string[]
}

/** Platform codes, the most useful first. Paths of Windows are UTF-16, those of the Mac a file URL. */
const PLATFORMS: readonly [code: string, decode: (bytes: Buffer) => string | undefined][] = [
  ['W2ru', bytes => bytes.toString('utf16le')],
  ['MacX', fileUrlPath],
  ['W2ku', bytes => bytes.toString('utf16le')],
  ['Wi2r', bytes => bytes.toString('latin1')],
  ['Wi2k', bytes => bytes.toString('latin1')],
]

/** Reads what `found` says of the parent. A locator that lies nowhere is a finding, for there are others. */
export async function readParent(
  file: ByteSource,
  { header, position }: FoundHeader,
): Promise<{ parent: VhdParent; findings: readonly Finding[] }> {
  const findings: Finding[] = []
  const byPlatform = new Map<string, string>()
  for (const [index, entry] of header.parentLocators.entries()) {
    if (entry.platformCode === 0 || entry.dataLength === 0) continue
    const range = placeOf(file, entry)
    if (range === undefined) {
      findings.push(
        lost(index, position + dynamicHeader.offsetOf('parentLocators') + index * parentLocator.size, entry),
      )
      continue
    }
    const bytes = Buffer.alloc(range.length)
    await file.read(range.offset, bytes)
    const code = codeOf(entry)
    const path = PLATFORMS.find(([known]) => known === code)?.[1](bytes)
    if (path) byPlatform.set(code, upToNul(path))
  }
  const name = upToNul(Buffer.from(header.parentName).swap16().toString('utf16le'))
  const paths = [...PLATFORMS.flatMap(([code]) => byPlatform.get(code) ?? []), name].filter(path => path !== '')
  const parent = {
    uniqueId: header.parentUniqueId,
    modified: dateOf(header.parentTimestamp),
    paths: [...new Set(paths)],
  }
  return { parent, findings }
}

/** What is behind the end is no path, and neither is what no path is as long as. */
function placeOf(file: ByteSource, { dataOffset, dataLength: length }: ParentLocatorEntry): Range | undefined {
  if (length > MAX_LOCATOR_LENGTH || dataOffset > BigInt(file.size - length)) return undefined
  return { offset: Number(dataOffset), length }
}

function codeOf({ platformCode }: ParentLocatorEntry): string {
  const code = Buffer.alloc(4)
  code.writeUInt32BE(platformCode)
  return code.toString('latin1')
}

const upToNul = (text: string) => text.split('\0', 1)[0]!

/** The path of `file://localhost/dir/parent.vhd`, `file:///dir/…` or, as Xen writes it, `file://./parent.vhd`. */
function fileUrlPath(bytes: Buffer): string | undefined {
  const url = /^file:\/\/(?:localhost(?=\/))?([^\0]*)/.exec(bytes.toString('utf8'))?.[1]
  if (url === undefined) return undefined
  try {
    return decodeURIComponent(url)
  } catch {
    return url
  }
}

const lost = (index: number, position: number, { dataOffset, dataLength }: ParentLocatorEntry): Finding => ({
  code: 'VHD_PARENT_LOCATOR',
  message: `parent locator ${index} at byte ${hex(position)} leads to ${dataLength} bytes at byte ${hex(dataOffset)}, where no path is: it was passed over`,
  details: { position, offset: hex(dataOffset), length: dataLength },
})
