/** The disks of the benchmark. They take minutes to make, so they are kept. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, open, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { buildDisk, fat, fillNtfs, ntfs, type Place } from '../helpers/disks.ts'

const KiB = 1024
const MiB = 1024 ** 2
const GiB = 1024 ** 3

export interface RealDiskOptions {
  /** Bytes of the files on the NTFS volume. */
  readonly data: number
  readonly files: number
}

const SYSTEM = 100 * MiB
const RESERVED = 16 * MiB
const RECOVERY = 500 * MiB

/** A disk as Windows sets it up and a user fills it: half as much again as the files take is deleted, and still there. */
export async function realDisk(path: string, { data, files }: RealDiskOptions): Promise<Place> {
  const volume = Math.ceil((2 * data + 1 * GiB) / MiB) * MiB
  const size = volume + SYSTEM + RESERVED + RECOVERY + 2 * MiB
  await once(path, async unfinished => {
    const fill = fillNtfs(folder => writeTree(folder, systemTree(data, files)))
    await buildDisk(unfinished, {
      size,
      table: 'gpt',
      partitions: [
        { size: SYSTEM, type: 'ef00', name: 'EFI system partition', content: [fat({ bits: 32 })] },
        { size: RESERVED, type: '0c01', name: 'Microsoft reserved partition' },
        { size: volume, type: '0700', name: 'Basic data partition', content: [ntfs({ label: 'Windows' }), fill] },
        { type: '2700', name: 'Recovery', content: [ntfs({ label: 'Recovery' })] },
      ],
    })
  })
  return { path, offset: MiB + SYSTEM + RESERVED, length: volume, sectorSize: 512 }
}

/** A bare volume with a folder of 50,000 small files, `tree`, and a file of 4 GiB, `large.bin`. */
export async function treeVolume(path: string): Promise<void> {
  await once(path, async unfinished => {
    const fill = fillNtfs(async folder => {
      await mkdir(join(folder, 'tree'))
      await writeTree(join(folder, 'tree'), { files: 50_000, large: 0, largeSize: 0, stale: 0 })
      await writePool(join(folder, 'large.bin'), 4 * GiB, 1)
    })
    await buildDisk(unfinished, {
      size: 6 * GiB,
      table: 'none',
      partitions: [{ type: '0700', content: [ntfs({ label: 'Tree' }), fill] }],
    })
  })
}

/** A disk of 15 TB with one NTFS volume that holds next to nothing. The file takes little room: it is nearly all hole. */
export async function hugeDisk(path: string): Promise<void> {
  await once(path, async unfinished => {
    const hello = fillNtfs(folder => writeFile(join(folder, 'hello.txt'), 'hello'))
    const partitions = [{ type: '0700', name: 'Basic data partition', content: [ntfs({ label: 'Archive' }), hello] }]
    await buildDisk(unfinished, { size: Math.floor(15e12 / MiB) * MiB, table: 'gpt', partitions })
  })
}

/** The volume alone in a file, for programs that know no partitions. */
export async function extractVolume(volume: Place, path: string): Promise<void> {
  await once(path, async unfinished => {
    const [source, target] = [await open(volume.path), await open(unfinished, 'w')]
    await target.truncate(volume.length)
    const buffer = Buffer.alloc(4 * MiB)
    const zeros = Buffer.alloc(buffer.length)
    for (let done = 0; done < volume.length; done += buffer.length) {
      const length = Math.min(buffer.length, volume.length - done)
      await source.read(buffer, 0, length, volume.offset + done)
      const piece = buffer.subarray(0, length)
      if (!piece.equals(zeros.subarray(0, length))) await target.write(piece, 0, length, done)
    }
    await source.close()
    await target.close()
  })
}

/** Makes the file under another name first, so that what has its own name is whole. */
async function once(path: string, make: (unfinished: string) => Promise<void>): Promise<void> {
  if (existsSync(path)) return
  console.error(`making ${path}, which takes a while …`)
  await mkdir(dirname(path), { recursive: true })
  const unfinished = `${path}.unfinished`
  await rm(unfinished, { force: true })
  await make(unfinished)
  await rename(unfinished, path)
}

const PER_FOLDER = 500
const SMALL = 8 * KiB
const STALE_FILES = 40

/** Does not compress, and no two clusters of it are the same. */
let pool: Buffer | undefined

async function writePool(path: string, size: number, seed: number): Promise<void> {
  pool ??= randomBytes(64 * MiB)
  const file = await open(path, 'w')
  try {
    for (let done = 0; done < size; done += MiB) {
      const length = Math.min(MiB, size - done)
      const from = (seed * 4099 + done) % (pool.length - length)
      await file.write(pool, from, length)
    }
  } finally {
    await file.close()
  }
}

interface Tree {
  readonly files: number
  /** How many of them are large, and how large. The others have 1 to 15 KiB, in no order, and on average 8. */
  readonly large: number
  readonly largeSize: number
  /** Bytes of files that are written between them and deleted at the end. */
  readonly stale: number
}

/** Sizes that spread as on a system disk: most files are of a few KiB, most bytes are in a few large ones. */
function systemTree(data: number, files: number): Tree {
  const large = Math.max(1, Math.floor(files / 1000))
  const largeSize = Math.max(SMALL, Math.floor((data - (files - large) * SMALL) / large))
  return { files, large, largeSize, stale: data / 2 }
}

/** Deleted files lie between the others, so that free space is in many places and full of old bytes. */
async function writeTree(folder: string, { files, large, largeSize, stale }: Tree): Promise<void> {
  const stalePath = (i: number) => join(folder, `deleted ${i}`)
  const staleEvery = Math.max(1, Math.floor(files / STALE_FILES))
  const largeEvery = Math.floor(files / large)
  for (let start = 0; start < files; start += PER_FOLDER) {
    const within = join(folder, `folder ${start / PER_FOLDER}`)
    await mkdir(within)
    for (let i = start; i < Math.min(start + PER_FOLDER, files); i++) {
      const isLarge = i % largeEvery === largeEvery - 1
      await writePool(join(within, `file ${i}.bin`), isLarge ? largeSize : KiB * (1 + ((i * 7) % 15)), i)
      if (stale > 0 && i % staleEvery === 0) {
        await writePool(stalePath(i / staleEvery), Math.floor(stale / STALE_FILES), i)
      }
    }
  }
  for (let i = 0; existsSync(stalePath(i)); i++) await unlink(stalePath(i))
}
