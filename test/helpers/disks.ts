/**
 * Disks as other people's tools make them: partitioned by sgdisk, formatted by mkntfs and its like, filled through
 * ntfs-3g. Tests that build one need `diskTools`.
 */
import { createHash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readdir, rm, rmdir, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Range } from '../../lib/device/ranges.ts'
import { pattern } from './pattern.ts'
import { run } from './run.ts'

const MiB = 1024 ** 2

/** What `buildDisk` and the formats here need. */
export const diskTools = ['loop', 'fuse', 'sgdisk', 'mkntfs', 'ntfs-3g', 'mkfs.fat', 'mcopy', 'mkfs.exfat'] as const

/** A part of a raw disk in the file `path`. */
export interface Place extends Range {
  readonly path: string
  readonly sectorSize: number
}

/** Puts something on a partition. */
export type Format = (place: Place) => Promise<void>

export interface PlannedPartition {
  /** Whole MiB in bytes; what is left of the disk unless told. */
  readonly size?: number
  /** sgdisk's type code such as 'ef00' on GPT, the type byte such as '07' on MBR. */
  readonly type: string
  readonly name?: string
  /** MBR only: the partition the machine boots from. */
  readonly active?: boolean
  /** What is written to it, one after the other. Nothing unless told. */
  readonly content?: readonly Format[]
}

export interface DiskPlan {
  readonly size: number
  /** 'none': the whole disk is one volume, and `partitions` has one entry. */
  readonly table: 'gpt' | 'mbr' | 'none'
  readonly sectorSize?: 512 | 4096
  readonly partitions: readonly PlannedPartition[]
}

/** Makes the disk in a new sparse file. Partitions start at whole MiB from 1 MiB. Returns where they are. */
export async function buildDisk(path: string, plan: DiskPlan): Promise<Place[]> {
  const { size, table, sectorSize = 512, partitions } = plan
  await writeFile(path, '', { flag: 'wx' })
  await truncate(path, size)
  const end = table === 'none' ? size : size - (size % MiB) - MiB
  let next = table === 'none' ? 0 : MiB
  const places = partitions.map(partition => {
    const place = { path, sectorSize, offset: next, length: partition.size ?? end - next }
    next += place.length
    return place
  })
  if (table === 'gpt') await writeGpt(path, plan, places)
  if (table === 'mbr') await writeMbr(path, partitions, places)
  for (const [i, { content = [] }] of partitions.entries()) {
    for (const put of content) await put(places[i]!)
  }
  return places
}

async function writeGpt(path: string, plan: DiskPlan, places: readonly Place[]): Promise<void> {
  const sectorSize = plan.sectorSize ?? 512
  const args = plan.partitions.flatMap(({ type, name = '' }, i) => {
    const { offset, length } = places[i]!
    const [first, last] = [offset / sectorSize, (offset + length) / sectorSize - 1]
    return ['-n', `${i + 1}:${first}:${last}`, '-t', `${i + 1}:${type}`, '-c', `${i + 1}:${name}`]
  })
  await withLoop({ path, sectorSize, offset: 0, length: plan.size }, device => run('sgdisk', [...args, device]))
}

async function writeMbr(path: string, partitions: readonly PlannedPartition[], places: readonly Place[]) {
  const sector = Buffer.alloc(512)
  sector.writeUInt32LE(0x5eed_1e55, 0x1b8)
  for (const [i, { type, active }] of partitions.entries()) {
    const { offset, length, sectorSize } = places[i]!
    const entry = sector.subarray(0x1be + 16 * i)
    entry[0] = active ? 0x80 : 0
    entry.write('feffff', 1, 'hex') // The addresses by cylinder, head and sector: too far for them.
    entry.write(type, 4, 'hex')
    entry.write('feffff', 5, 'hex')
    entry.writeUInt32LE(offset / sectorSize, 8)
    entry.writeUInt32LE(length / sectorSize, 12)
  }
  sector.writeUInt16LE(0xaa55, 510)
  await putBytes(0, sector)({ path, offset: 0, length: 512, sectorSize: 512 })
}

/** Writes `bytes` at `offset` of the partition. */
export const putBytes =
  (offset: number, bytes: Buffer): Format =>
  async place => {
    const file = await open(place.path, 'r+')
    await file.write(bytes, 0, bytes.length, place.offset + offset).finally(() => file.close())
  }

export interface NtfsOptions {
  readonly label?: string
  /** Bytes, 4096 unless told. */
  readonly clusterSize?: number
}

export const ntfs =
  ({ label = 'Data', clusterSize = 4096 }: NtfsOptions = {}): Format =>
  async place => {
    const start = ['-p', `${place.offset / place.sectorSize}`, '-H', '255', '-S', '63']
    await withLoop(place, device =>
      run('mkntfs', ['-F', '-Q', '-q', '-L', label, '-c', `${clusterSize}`, ...start, device], { timeout: 300_000 }),
    )
  }

/** Mounts the NTFS volume just made and lets `write` fill it. */
export const fillNtfs =
  (write: (mountPoint: string) => Promise<void>): Format =>
  place =>
    withNtfs(place, write)

export interface FatOptions {
  readonly bits?: 12 | 16 | 32
  readonly label?: string
  /** Path with slashes → content. */
  readonly files?: Readonly<Record<string, Buffer | string>>
}

export const fat =
  ({ bits = 32, label = 'SYSTEM', files = {} }: FatOptions = {}): Format =>
  async place => {
    const hidden = `${place.offset / place.sectorSize}`
    await withLoop(place, device =>
      run('mkfs.fat', ['-F', `${bits}`, '-S', `${place.sectorSize}`, '-h', hidden, '-n', label, device]),
    )
    const image = `${place.path}@@${place.offset}`
    for (const [path, content] of Object.entries(files)) {
      for (const folder of foldersOf(path))
        await run('mmd', ['-D', 's', '-i', image, `::${folder}`], { exitCodes: [0, 1] })
      await run('mcopy', ['-i', image, '-', `::${path}`], { input: content })
    }
  }

/** `a/b/c.txt` → `a`, `a/b`. */
const foldersOf = (path: string) =>
  path
    .split('/')
    .slice(0, -1)
    .map((_, i, names) => names.slice(0, i + 1).join('/'))

/** An empty exFAT volume: Debian's kernel may have no driver to fill it. */
export const exfat =
  ({ label = 'CARD' }: { readonly label?: string } = {}): Format =>
  async place => {
    await withLoop(place, device => run('mkfs.exfat', ['-L', label, device]))
  }

/** Lets `use` work on a loop device over the place, and waits until all it wrote is in the file. */
export async function withLoop<T>(place: Place, use: (device: string) => Promise<T>, readOnly = false): Promise<T> {
  const { path, offset, length, sectorSize } = place
  const window = ['--offset', `${offset}`, '--sizelimit', `${length}`, '--sector-size', `${sectorSize}`]
  const mode = readOnly ? ['--read-only'] : []
  const device = (await run('losetup', ['--find', '--show', ...mode, ...window, path])).stdout.trim()
  try {
    return await use(device)
  } finally {
    await run('losetup', ['--detach', device])
    await loopReleased(device)
  }
}

/** `losetup --detach` returns while the device is still open somewhere, such as in an ntfs-3g that is going down. */
async function loopReleased(device: string): Promise<void> {
  const backing = `/sys/block/${basename(device)}/loop/backing_file`
  for (let waited = 0; existsSync(backing); waited += 20) {
    if (waited > 20_000) throw new Error(`${device} is still in use after 20 s`)
    await sleep(20)
  }
}

/** Mounts an NTFS volume through ntfs-3g for as long as `use` takes. Streams are files named `name:stream`. */
export async function withNtfs<T>(place: Place, use: (mountPoint: string) => Promise<T>, readOnly = false): Promise<T> {
  const mountPoint = await mkdtemp(join(tmpdir(), 'vhdx-ntfs-'))
  const options = `streams_interface=windows${readOnly ? ',ro' : ''}`
  try {
    return await withLoop(
      place,
      async device => {
        await run('ntfs-3g', ['-o', options, device, mountPoint])
        try {
          return await use(mountPoint)
        } finally {
          await run('umount', [mountPoint])
        }
      },
      readOnly,
    )
  } finally {
    // It stays where unmounting failed, which has thrown already.
    await rmdir(mountPoint).catch(() => {})
  }
}

/** Mounts an exFAT volume through exfat-fuse for as long as `use` takes. */
export async function withExfat<T>(place: Place, use: (mountPoint: string) => Promise<T>): Promise<T> {
  const mountPoint = await mkdtemp(join(tmpdir(), 'vhdx-exfat-'))
  try {
    return await withLoop(place, async device => {
      await run('mount.exfat-fuse', [device, mountPoint])
      try {
        return await use(mountPoint)
      } finally {
        await run('umount', [mountPoint])
      }
    })
  } finally {
    // It stays where unmounting failed, which has thrown already.
    await rmdir(mountPoint).catch(() => {})
  }
}

/**
 * Files of every kind that matters to a copy of clusters: in the record, of one cluster, of many, with a stream, sparse,
 * in folders, with names beyond ASCII. `count` small ones besides. Their content depends on their place in the list.
 */
export async function writeFiles(folder: string, count = 40): Promise<void> {
  const write = async (path: string, size: number, seed: number) => {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), pattern(size, seed))
  }
  await write('empty', 0, 0)
  await write('in the record.txt', 300, 1)
  await write('one cluster', 4096, 2)
  await write('Größe und 大小.bin', 70_001, 3)
  await write('a/deep/er/folder/large.bin', 3 * MiB + 5, 4)
  await write('with stream.txt', 10, 5)
  await write('with stream.txt:second', 20_000, 6)
  for (let i = 0; i < count; i++) await write(`small/${i % 7}/${i}.dat`, 100 + ((i * 977) % 20_000), i)
  const sparse = await open(join(folder, 'sparse.bin'), 'w')
  await sparse.truncate(8 * MiB)
  await sparse.write(pattern(10_000, 7), 0, 10_000, 5 * MiB).finally(() => sparse.close())
}

/** The text that `leaveStale` leaves behind in clusters that belong to nothing. */
export const STALE = 'this was deleted and must not be in any image. '

/** Writes `size` bytes of STALE and deletes them, several times so that free space is in several places. */
export async function leaveStale(folder: string, size = 6 * MiB): Promise<void> {
  const page = Buffer.alloc(4096, STALE)
  const names = [0, 1, 2, 3].map(i => join(folder, `stale ${i}`))
  for (const name of names) {
    const file = await open(name, 'w')
    for (let done = 0; done < size / names.length; done += page.length) await file.write(page)
    await file.sync()
    await file.close()
    await writeFile(`${name} is followed by`, pattern(9000, 8))
  }
  for (const name of names) await rm(name)
}

/** How often STALE is found in a file. */
export async function countStale(path: string): Promise<number> {
  let [count, rest] = [0, Buffer.alloc(0)]
  for await (const chunk of createReadStream(path, { highWaterMark: MiB })) {
    const bytes = Buffer.concat([rest, chunk])
    let found = bytes.indexOf(STALE)
    let end = 0
    for (; found >= 0; found = bytes.indexOf(STALE, end)) {
      count++
      end = found + STALE.length
    }
    rest = bytes.subarray(Math.max(end, bytes.length - STALE.length + 1))
  }
  return count
}

/** Every folder and file below `folder` and what is in it, as `path` → `size sha256`, in order of paths. */
export async function hashTree(folder: string): Promise<Record<string, string>> {
  const found: [string, string][] = []
  // Not opendir: with `recursive` it loses entries of large folders (nodejs/node 48820).
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const name = path.slice(folder.length + 1)
    if (entry.isDirectory()) found.push([name, 'folder'])
    else found.push([name, `${(await stat(path)).size} ${await hashFile(path)}`])
  }
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** SHA-256 of a whole file. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: MiB })) hash.update(chunk)
  return hash.digest('hex')
}

/** What ntfs-3g finds on a volume, streams that `writeFiles` made included. */
export const hashNtfs = (place: Place) =>
  withNtfs(
    place,
    async mountPoint => {
      const stream = join(mountPoint, 'with stream.txt:second')
      const tree = await hashTree(mountPoint)
      return existsSync(stream) ? { ...tree, 'with stream.txt:second': await hashFile(stream) } : tree
    },
    true,
  )
