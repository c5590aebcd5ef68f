/**
 * Real images by Windows, Hyper-V and others, with what independent tools found in them. They lie beside the repository
 * in ../shared/corpus, packed, and are unpacked once into test/.cache. Where they are missing, tests are skipped.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { endOf } from '../../lib/device/ranges.ts'
import { cacheFolder, corpusFolder } from './folders.ts'
import { run } from './run.ts'
import { testWith, whatIsMissing } from './tools.ts'

export interface ExpectedFile {
  /** With slashes, as the sleuthkit writes it: `folder/name`, `name:stream`. */
  readonly path: string
  readonly size: number
  readonly sha256: string
  /** NTFS: what a mount by ntfs-3g has there. */
  readonly ntfs3g?: string
}

/** Whether the file has a record that names its directory, but the directory does not have its name. */
export const isOrphan = ({ ntfs3g }: ExpectedFile) => ntfs3g?.startsWith('absent') === true

export interface ExpectedPartition {
  readonly startSector: number
  readonly sectors: number
  /** 'NTFS', 'FAT12', 'exFAT' …; null where no tool knew it. */
  readonly fs: string | null
  readonly description?: string
  readonly label?: string | null
  readonly usedClusters?: number
  readonly totalClusters?: number
  readonly entries?: number
  readonly files?: readonly ExpectedFile[]
  readonly dirs?: readonly string[]
  readonly ntfsBoot?: {
    readonly bytesPerSector: number
    readonly clusterSize: number
    readonly totalSectors: number
    readonly mftCluster: number
    readonly mftMirrCluster: number
    readonly recordSize: number
    readonly indexSize: number
    readonly serial: string
  }
}

/** What independent tools found in an image. */
export interface Expected {
  readonly file: string
  readonly virtualDisk: {
    readonly size: number
    /** Of the whole disk; null where it is too large for that. */
    readonly sha256: string | null
    readonly sparseSha256: string
    readonly nonZero64KiBBlocks: number
  }
  readonly table?: string
  readonly partitions: readonly ExpectedPartition[]
  /** Present where the log is dirty: `virtualDisk` is the disk after replay. */
  readonly logReplayedBy?: string
}

export interface CorpusImage {
  /** Path in the corpus, such as `vhdx/DiscUtils/swap.vhdx`. */
  readonly name: string
  /** Throws where nothing is known of it: pieces of file systems and hives. */
  expected(): Expected
  /** Path of the unpacked image, which several tests share: read it, never write it. */
  unpack(): Promise<string>
}

/** One image, by its path in the corpus. */
export const corpusImage = (name: string): CorpusImage => ({
  name,
  expected: () => JSON.parse(readFileSync(join(corpusFolder, `${name}.expected.json`), 'utf8')),
  unpack: () => unpack(name),
})

/** All images in a folder of the corpus and below; none where there is no corpus. */
export function corpusImages(folder: string): CorpusImage[] {
  const start = join(corpusFolder, folder)
  if (!existsSync(start)) return []
  const packed = readdirSync(start, { recursive: true, withFileTypes: true }).filter(entry =>
    entry.name.endsWith('.tar.xz'),
  )
  const names = packed.map(entry =>
    relative(corpusFolder, join(entry.parentPath, entry.name.slice(0, -'.tar.xz'.length))),
  )
  return names.sort().map(corpusImage)
}

/** One test per image of a folder of the corpus, named after it; one skipped test where there is no corpus. */
export function testEachImage(folder: string, check: (image: CorpusImage) => Promise<void>): void {
  const needs = ['corpus', 'tar', 'xz'] as const
  const missing = whatIsMissing(needs) !== undefined
  const images = missing ? [] : corpusImages(folder)
  for (const image of images) testWith(needs, image.name, () => check(image))
  if (images.length === 0) testWith(needs, `every image of ${folder}`, () => Promise.reject(new Error('there is none')))
}

/** Unpacks beside the target and moves it there whole, so that test files that run at once do not disturb each other. */
async function unpack(name: string): Promise<string> {
  const target = join(cacheFolder, 'corpus', name)
  if (existsSync(target)) return target
  await mkdir(dirname(target), { recursive: true })
  const folder = await mkdtemp(join(cacheFolder, 'unpack-'))
  try {
    await run('tar', ['-xJf', join(corpusFolder, `${name}.tar.xz`), '--no-same-owner', '-C', folder])
    await rename(join(folder, readdirSync(folder)[0]!), target).catch(error => {
      if (!existsSync(target)) throw error
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  return target
}

const BLOCK = 64 * 1024
const ZEROS = Buffer.alloc(BLOCK)

/** The blocks of 64 KiB that may hold data, in order; the last of the device may be short. */
async function* blocks(device: BlockDevice): AsyncIterable<{ offset: number; bytes: Buffer }> {
  let done = 0
  for await (const range of device.dataRanges()) {
    const start = Math.max(done, range.offset - (range.offset % BLOCK))
    for (done = start; done < endOf(range); done += BLOCK) {
      const bytes = Buffer.alloc(Math.min(BLOCK, device.size - done))
      await device.read(done, bytes)
      yield { offset: done, bytes }
    }
  }
}

/** `virtualDisk.sparseSha256` of a device: over the offset, as 8 bytes, and content of each 64 KiB block not all zero. */
export async function sparseSha256(device: BlockDevice): Promise<string> {
  const hash = createHash('sha256')
  for await (const { offset, bytes } of blocks(device)) {
    if (bytes.equals(ZEROS.subarray(0, bytes.length))) continue
    const position = Buffer.alloc(8)
    position.writeBigUInt64LE(BigInt(offset))
    hash.update(position).update(bytes)
  }
  return hash.digest('hex')
}

/** `virtualDisk.sha256` of a device: over all of its bytes. */
export async function sha256(device: BlockDevice): Promise<string> {
  const hash = createHash('sha256')
  let hashed = 0
  const fill = (end: number) => {
    for (; hashed < end; hashed += BLOCK) hash.update(ZEROS.subarray(0, Math.min(BLOCK, end - hashed)))
  }
  for await (const { offset, bytes } of blocks(device)) {
    fill(offset)
    hash.update(bytes)
    hashed = offset + bytes.length
  }
  fill(device.size)
  return hash.digest('hex')
}
