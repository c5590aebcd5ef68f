/** NTFS volumes made by mkntfs and filled through ntfs-3g, and what tests do to them. */
import { spawn } from 'node:child_process'
import { closeSync, linkSync, mkdirSync, openSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import type { Range } from '../../lib/device/ranges.ts'
import { applyFixup } from '../../lib/ntfs/fixup.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import type { UsedSpace, UsedSpaceOptions } from '../../lib/volume/volume.ts'
import { collect } from '../helpers/collect.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { pathOf, run } from '../helpers/run.ts'

export const volumeTools = ['fuse', 'root', 'mkntfs', 'ntfs-3g'] as const

export interface VolumeOptions {
  /** Bytes, 8 MiB unless told. */
  readonly size?: number
  readonly clusterSize?: number
  readonly sectorSize?: number
  readonly label?: string
  /** Files are compressed unless told otherwise. */
  readonly compressed?: boolean
}

/** What every byte was before the volume was made, and is where nothing was written since. */
export const STALE = 0xee

/** Lets mkntfs make a volume in the new file `path`, over a disk full of STALE. */
export async function makeVolume(path: string, options: VolumeOptions = {}): Promise<void> {
  const { size = 8 * 1024 ** 2, clusterSize = 4096, sectorSize = 512, label = 'Test', compressed = false } = options
  await writeFile(path, Buffer.alloc(size, STALE), { flag: 'wx' })
  const shape = ['-s', `${sectorSize}`, '-c', `${clusterSize}`, '-p', '0', '-H', '0', '-S', '0', '-L', label]
  await run('mkntfs', ['-F', '-Q', '-q', ...(compressed ? ['-C'] : []), ...shape, path])
}

/** Mounts the volume in the file `path` for as long as `use` takes, and waits until all is in the file. */
export async function withMounted(path: string, use: (folder: string) => Promise<void>): Promise<void> {
  const folder = `${path}.mounted`
  await mkdir(folder)
  const below = (await stat(folder)).dev
  // What it says is thrown away: a test that works in the mount without giving way would let it wait for a reader.
  const options = 'no_detach,streams_interface=windows,special_files=wsl'
  const child = spawn(pathOf('ntfs-3g')!, ['-o', options, path, folder], { stdio: 'ignore' })
  const served = new Promise<void>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', code => (code === 0 ? resolve() : reject(new Error(`ntfs-3g ended with ${code}`))))
  })
  try {
    while ((await stat(folder)).dev === below) await Promise.race([sleep(10), served])
    try {
      await use(folder)
    } finally {
      await run('umount', [folder])
    }
    await served
  } finally {
    await rmdir(folder)
  }
}

/** `bytes` with zeros but for the `ranges`. */
export function onlyRanges(bytes: Buffer, ranges: readonly Range[]): Buffer {
  const copy = Buffer.alloc(bytes.length)
  for (const { offset, length } of ranges) bytes.copy(copy, offset, offset, offset + length)
  return copy
}

/** The bytes of a volume with what `fill` wrote to it. */
export async function volumeBytes(options: VolumeOptions, fill?: (folder: string) => Promise<void>): Promise<Buffer> {
  await using files = await scratch()
  const path = files.path('volume')
  await makeVolume(path, options)
  if (fill !== undefined) await withMounted(path, fill)
  return await readFile(path)
}

export const openBytes = (bytes: Buffer) => NtfsVolume.open(new MemoryDevice(bytes, { readOnly: true }))

export interface Survey {
  readonly volume: NtfsVolume
  readonly space: UsedSpace
  readonly ranges: readonly Range[]
  /** Of `findings` of both volume and survey. */
  readonly codes: readonly string[]
}

export async function survey(bytes: Buffer, options: UsedSpaceOptions = {}): Promise<Survey> {
  const volume = await openBytes(bytes)
  const space = await volume.usedSpace(options)
  const ranges = await collect(space.ranges())
  const codes = [...volume.findings, ...space.findings].map(({ code }) => code)
  return { volume, space, ranges, codes }
}

/** Where `marker` lies in `bytes`; throws unless it is there once. */
export function placeOf(bytes: Buffer, marker: string | Buffer): number {
  const place = bytes.indexOf(marker)
  if (place < 0 || bytes.indexOf(marker, place + 1) >= 0) throw new Error('the marker is not there exactly once')
  return place
}

/** Where the file record `number` begins, in a volume whose $MFT is one run. */
export function recordPlace(bytes: Buffer, number: number): number {
  const clusterSize = bytes.readUInt16LE(0x0b) * bytes[0x0d]!
  return Number(bytes.readBigUInt64LE(0x30)) * clusterSize + number * 1024
}

/** The number of the file record that has the name `name`. $MFT is one run. */
export function recordOf(bytes: Buffer, name: string): number {
  for (let number = 24; ; number++) {
    const record = recordPlace(bytes, number)
    if (bytes.toString('latin1', record, record + 4) !== 'FILE') throw new Error(`no file record has the name ${name}`)
    for (const attribute of attributePlaces(bytes, number, 0x30)) {
      const value = attribute + bytes.readUInt16LE(attribute + 0x14)
      if (bytes.toString('utf16le', value + 0x42, value + 0x42 + 2 * bytes[value + 0x40]!) === name) return number
    }
  }
}

/** Where the first attribute of `type` begins in file record `number`. */
export function attributePlace(bytes: Buffer, number: number, type: number): number {
  for (const place of attributePlaces(bytes, number, type)) return place
  throw new Error(`record ${number} has no attribute ${type}`)
}

/** Read from a copy with the update sequence put back: an attribute may go over the end of a sector. */
function* attributePlaces(bytes: Buffer, number: number, type: number): Iterable<number> {
  const start = recordPlace(bytes, number)
  const record = Buffer.from(bytes.subarray(start, start + 1024))
  applyFixup(record, 0, record.length)
  let place = record.readUInt16LE(0x14)
  while (record.readUInt32LE(place) !== 0xffffffff) {
    if (record.readUInt32LE(place) === type) yield start + place
    place += record.readUInt32LE(place + 4)
  }
}

/** Where the runlist of the unnamed $DATA of record `number` begins. */
export function runListPlace(bytes: Buffer, number: number): number {
  const data = attributePlace(bytes, number, 0x80)
  return data + bytes.readUInt16LE(data + 0x20)
}

/** Turns the bit of `cluster` in $Bitmap over. $Bitmap is one run. */
export function flipCluster(bytes: Buffer, cluster: number): void {
  const runList = runListPlace(bytes, 6)
  const lengthSize = bytes[runList]! & 15
  const lcn = bytes.readUIntLE(runList + 1 + lengthSize, bytes[runList]! >>> 4)
  bytes[lcn * 4096 + (cluster >>> 3)]! ^= 1 << (cluster & 7)
}

/**
 * Fills a volume of 8 MiB and clusters of 512 bytes with files of two clusters, empties every other one, and so leaves
 * $MFT nothing but holes to grow into: it comes to have hundreds of runs, and an attribute list.
 */
export function fragment(folder: string): void {
  mkdirSync(join(folder, 'd'))
  const name = (i: number) => join(folder, `${i}`)
  let count = 0
  try {
    for (; ; count++) writeFileSync(name(count), pattern(1024, count))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
  for (let i = 0; i < count; i += 2) truncateSync(name(i), 0)
  for (let i = 0; i < 700; i++) closeSync(openSync(join(folder, 'd', `${i}`), 'w'))
  const large = join(folder, 'large')
  writeFileSync(large, pattern(30_000))
  for (let i = 0; i < 60; i++) linkSync(large, join(folder, 'd', `another name for it, number ${i}`))
}
