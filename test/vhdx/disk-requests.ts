/** Requests to a disk by chance, such as break what writes it: at the ends of blocks and sectors, whole blocks, next to nothing. */
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { intersect, type Range } from '../../lib/device/ranges.ts'
import type { Random } from '../fuzz/random.ts'

export interface DiskRequest extends Range {
  readonly verb: 'write' | 'zero' | 'trim'
  /** Of a write. */
  readonly bytes?: Buffer
}

/** What of an image decides about its disk. */
export interface DiskKind {
  readonly size: number
  readonly sectorSize: number
  readonly blockSize: number
  readonly isFixed: boolean
  /** Requests begin and end at multiples of so many bytes. */
  readonly grain: number
}

/** Longer writes are few, and their bytes repeat. */
const SHORT = 64 * 1024
const LONGEST_WRITE = 4 * 1024 * 1024

const VERBS = ['write', 'write', 'write', 'write', 'zero', 'trim'] as const

export function randomRequest({ size, sectorSize, blockSize, grain }: DiskKind, random: Random): DiskRequest {
  const unit = random.pick([grain, sectorSize, sectorSize, sectorSize, 4096, 4096, blockSize])
  const blocks = Math.ceil(size / blockSize)
  const near = random.onceIn(3) ? random.below(blocks + 1) * blockSize : random.below(size)
  const around = near + (random.below(9) - 4) * unit
  const offset = Math.max(0, Math.min(size - grain, Math.floor(around / unit) * unit))
  const longest = unit === blockSize ? 3 : Math.ceil(SHORT / Math.max(unit, 64))
  const length = Math.min(size - offset, (1 + random.below(longest)) * unit)
  const verb = random.pick(length > LONGEST_WRITE ? (['zero', 'trim'] as const) : VERBS)
  return { verb, offset, length, ...(verb === 'write' && { bytes: bytesOf(length, random) }) }
}

/** Several, of which no two touch the same piece of `unit` bytes. */
export function randomRequests(kind: DiskKind, count: number, unit: number, random: Random): DiskRequest[] {
  const requests: DiskRequest[] = []
  while (requests.length < count) {
    const request = randomRequest(kind, random)
    const touched = (range: Range) => unitsOf(request.verb === 'trim' || range !== request ? range : request, unit)
    if (!requests.some(other => intersect(touched(other), touched(request)) !== undefined)) requests.push(request)
    else if (random.onceIn(4)) break
  }
  return requests
}

function unitsOf({ offset, length }: Range, unit: number): Range {
  const start = Math.floor(offset / unit) * unit
  return { offset: start, length: Math.ceil((offset + length) / unit) * unit - start }
}

/** Never the same twice. */
function bytesOf(length: number, random: Random): Buffer {
  const bytes = Buffer.alloc(length, random.bytes(Math.min(length, 509)))
  // Each sector has a word of its own, so that none can stand in for another.
  for (let at = 0; at + 8 <= length; at += 512) bytes.writeDoubleLE(random.below(2 ** 31) + at / 2 ** 21, at)
  return bytes
}

export async function perform(disk: BlockDevice, { verb, offset, length, bytes }: DiskRequest): Promise<void> {
  if (verb === 'write') await disk.write(offset, bytes!)
  else if (verb === 'zero') await disk.zero(offset, length)
  else await disk.trim(offset, length)
}

/** What becomes zeros by a trim of `range`: the blocks that lie in it as a whole. */
export function trimmed(range: Range, { size, blockSize, isFixed }: DiskKind): Range {
  const end = range.offset + range.length
  const first = Math.min(size, Math.ceil(range.offset / blockSize) * blockSize)
  const last = end === size ? size : Math.floor(end / blockSize) * blockSize
  return { offset: first, length: isFixed ? 0 : Math.max(0, last - first) }
}

/** Does to `content` what the request does to the disk. */
export function performOn(content: Buffer, request: DiskRequest, kind: DiskKind): void {
  if (request.verb === 'write') request.bytes!.copy(content, request.offset)
  else {
    const { offset, length } = request.verb === 'zero' ? request : trimmed(request, kind)
    content.fill(0, offset, offset + length)
  }
}
