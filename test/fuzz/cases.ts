/** What is damaged, how, and what has to be true of the answers. */
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { crc32 } from '../../lib/binary/crc32.ts'
import { crc32cWithout } from '../../lib/binary/crc32c.ts'
import { captureDisk } from '../../lib/copy/capture.ts'
import { surveyDisk } from '../../lib/copy/disk-survey.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { endOf, type Range } from '../../lib/device/ranges.ts'
import { DiskImageError, UnsupportedError } from '../../lib/errors.ts'
import { mapBlocks } from '../../lib/vhdx/block-map.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { inspectVhdx } from '../../lib/vhdx/inspect.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { repository, scratch } from '../helpers/folders.ts'

const SECTOR = 512
const MiB = 1024 ** 2

interface Subject {
  readonly name: string
  readonly content: Buffer
  /** Where the sectors are that say something: those that a format's signature begins, and all that are not zero. */
  readonly structures: readonly number[]
  readonly filled: readonly number[]
  readonly read: (device: BlockDevice) => Promise<void>
  /** Makes the checksums right again, so that what is behind them is reached. */
  readonly seal: (content: Buffer) => void
}

/** The sample disks, and an image of each. */
export async function loadSubjects(): Promise<Subject[]> {
  await using folder = await scratch()
  const subjects: Subject[] = []
  const samples = join(repository, 'samples')
  for (const file of readdirSync(samples).filter(name => name.endsWith('.raw.br'))) {
    const name = file.replace('.raw.br', '')
    const disk = brotliDecompressSync(readFileSync(join(samples, file)))
    subjects.push(subject(`disk ${name}`, disk, readDisk, sealGpt))
    const [source, target] = [folder.path(`${name}.raw`), folder.path(`${name}.vhdx`)]
    await writeFile(source, disk)
    await captureDisk({ source, target, tool: { name: 'fuzz', version: '0' } })
    subjects.push(subject(`image ${name}`, readFileSync(target), readImage, sealVhdx))
  }
  return subjects
}

const SIGNATURES = ['FILE', 'INDX', 'RCRD', 'RSTR', 'EFI PART', 'head', 'regi', 'metadata', 'vhdxfile'].map(text =>
  Buffer.from(text),
)

function subject(name: string, content: Buffer, read: Subject['read'], seal: Subject['seal']): Subject {
  const [structures, filled]: [number[], number[]] = [[], []]
  // Behind that, an image holds the disk, which is a subject of its own.
  const end = seal === sealVhdx ? 4 * MiB : content.length
  for (let offset = 0; offset < end; offset += SECTOR) {
    const sector = content.subarray(offset, offset + SECTOR)
    if (sector.every(byte => byte === 0)) continue
    filled.push(offset)
    const isBoot = sector.length === SECTOR && sector.readUInt16LE(510) === 0xaa55
    if (isBoot || SIGNATURES.some(signature => sector.subarray(0, signature.length).equals(signature)))
      structures.push(offset)
  }
  return { name, content, structures, filled, read, seal }
}

/** Damages one subject, reads it and repairs it. Returns what came of it; throws what must not be. */
export async function runCase(subjects: readonly Subject[], number: number): Promise<string> {
  const random = randomFrom(number)
  const { name, content, structures, filled, read, seal } = subjects[random(subjects.length)]!
  const before = new Map<number, Buffer>()
  const keep = (offset: number) => {
    if (!before.has(offset)) before.set(offset, Buffer.from(content.subarray(offset, offset + SECTOR)))
  }
  for (let i = random(4); i >= 0; i--) {
    const places = random(3) > 0 ? structures : filled
    const offset = places[random(places.length)]!
    keep(offset)
    damage(content.subarray(offset, offset + SECTOR), content.subarray(filled[random(filled.length)]!), random)
  }
  const sealed = Buffer.from(content.subarray(0, MiB))
  if (random(4) > 0) seal(content)
  try {
    await read(new MemoryDevice(content, { readOnly: true }))
    return `${name}: read`
  } catch (error) {
    if (!(error instanceof DiskImageError)) throw new Error(`${name}: ${error}`, { cause: error })
    return `${name}: ${error.code}`
  } finally {
    sealed.copy(content)
    for (const [offset, bytes] of before) bytes.copy(content, offset)
  }
}

/** Numbers that end fields, and those one beside. */
const VALUES = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 64n - 1n,
]

function damage(sector: Buffer, other: Buffer, random: (limit: number) => number): void {
  const kind = random(8)
  const width = 2 ** random(4)
  // Most of what a record says of itself stands at its beginning.
  const at = random((random(2) === 0 ? 128 : sector.length) / width) * width
  if (kind === 0) sector.fill(0)
  else if (kind === 1) other.copy(sector, 0, 0, sector.length)
  else if (kind <= 3) sector[at] = sector[at]! ^ (1 << random(8))
  else {
    const number = Buffer.alloc(8)
    number.writeBigUInt64LE(kind <= 5 ? VALUES[random(VALUES.length)]! : BigInt(random(2 ** 31)))
    number.copy(sector, at, 0, width)
  }
}

async function readDisk(disk: BlockDevice): Promise<void> {
  const survey = await surveyDisk(disk)
  for await (const _ of inOrder(survey.ranges(), disk.size));
}

async function readImage(file: BlockDevice): Promise<void> {
  await inspectVhdx(file)
  const { summary } = await checkVhdx(file)
  const disk = await VhdxDevice.open(file).catch(error => {
    if (summary.errors > 0 || error instanceof UnsupportedError) throw error
    throw new Error(`check finds no error, and yet: ${error.message}`)
  })
  if (disk.size < 1024 * MiB) await mapBlocks(disk, 64)
  let budget = 64
  const buffer = Buffer.alloc(MiB)
  for await (const { offset, length } of inOrder(disk.dataRanges(), disk.size)) {
    if (budget-- === 0) break
    await disk.read(offset, buffer.subarray(0, Math.min(length, buffer.length)))
  }
}

/** Passes ranges on that are in order, apart from each other and inside. */
async function* inOrder(ranges: AsyncIterable<Range>, size: number): AsyncIterable<Range> {
  let end = -1
  for await (const range of ranges) {
    if (range.offset <= end || range.length <= 0 || endOf(range) > size) {
      throw new Error(`range ${range.offset} + ${range.length} after ${end}, of ${size}`)
    }
    end = endOf(range)
    yield range
  }
}

/** Both headers and both tables of entries, as far as they lie where they should. */
function sealGpt(content: Buffer): void {
  for (const sectorSize of [512, 4096]) {
    const header = content.subarray(sectorSize, sectorSize + 92)
    if (header.toString('latin1', 0, 8) !== 'EFI PART') continue
    header.writeUInt32LE(crc32(content.subarray(2 * sectorSize, 2 * sectorSize + 128 * 128)), 88)
    header.writeUInt32LE(0, 16)
    header.writeUInt32LE(crc32(header), 16)
  }
}

function sealVhdx(content: Buffer): void {
  for (const [offset, length] of [
    [0x10000, 4096],
    [0x20000, 4096],
    [0x30000, 65536],
    [0x40000, 65536],
  ] as const) {
    const structure = content.subarray(offset, offset + length)
    structure.writeUInt32LE(crc32cWithout(structure, 4), 4)
  }
}

/** Numbers below a limit, always the same for the same seed (a linear congruential generator with Knuth's constants). */
function randomFrom(seed: number): (limit: number) => number {
  let state = BigInt(seed) * 2n + 1n
  const next = () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n
    return Number(state / 2n ** 33n)
  }
  for (let i = 0; i < 4; i++) next()
  return limit => next() % Math.floor(limit)
}
