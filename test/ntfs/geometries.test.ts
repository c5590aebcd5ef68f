/** Volumes by mkntfs and ntfs-3g in every geometry: all ways to a file lead to the same, and to what the mount has. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { pattern } from '../helpers/pattern.ts'
import { testWith } from '../helpers/tools.ts'
import { describe, describeAll, scan, sha256, walk } from './listing.ts'
import { fragment, openBytes, survey, type VolumeOptions, volumeBytes, volumeTools } from './volumes.ts'

const KiB = 1024
const MiB = 1024 ** 2

const geometries: readonly (VolumeOptions & { readonly fill?: (folder: string) => void })[] = [
  { clusterSize: 512 },
  { clusterSize: 1 * KiB },
  { clusterSize: 2 * KiB },
  { clusterSize: 4 * KiB },
  { clusterSize: 4 * KiB, sectorSize: 4096, size: 16 * MiB },
  { clusterSize: 8 * KiB },
  { clusterSize: 64 * KiB, size: 16 * MiB },
  { clusterSize: 128 * KiB, size: 24 * MiB },
  { clusterSize: 2 * MiB, size: 128 * MiB },
  { clusterSize: 512, fill: fragment },
]

for (const { fill = fillAwkwardly, ...options } of geometries) {
  const { clusterSize, sectorSize = 512 } = options
  const name = `clusters of ${clusterSize}, sectors of ${sectorSize}${fill === fragment ? ', $MFT in pieces' : ''}`
  testWith(volumeTools, name, async () => {
    let mounted: Record<string, string> = {}
    const bytes = await volumeBytes(options, async folder => {
      fill(folder)
      mounted = hashFiles(folder)
    })
    const files = await (await openBytes(bytes)).openFiles()

    for (const system of [false, true]) {
      expect(describeAll(await scan(files, system))).toEqual(
        describeAll(await walk(files, await files.stat('/'), system)),
      )
    }
    const found: Record<string, string> = {}
    for (const entry of await scan(files)) {
      expect(describe(await files.stat(entry.path))).toBe(describe(entry))
      expect(entry.error).toBeUndefined()
      if (entry.kind === 'file') found[entry.path] = await sha256(await files.open(entry))
    }
    expect(found).toEqual(mounted)
    if (fill === fillAwkwardly) {
      expect(await files.stat('/link')).toMatchObject({ kind: 'link', target: 'a/b/large', size: 0 })
      expect(await files.stat('/pipe')).toMatchObject({ kind: 'other', target: undefined })
      expect(await files.stat('/linked')).toMatchObject({ links: 61 })
      const withStream = await files.stat('/WITH A STREAM')
      expect(withStream).toMatchObject({ path: '/with a stream', streams: [{ name: 'second', size: 5_000 }] })
      expect(await sha256(await files.open(withStream, 'second'))).toBe(hashOf(pattern(5_000, 5)))
    }
    expect(files.findings).toEqual([])
    // What the records own is what $Bitmap says, to the bit.
    expect((await survey(bytes)).space.findings).toEqual([])
  })
}

/** What is seldom and what goes wrong elsewhere: odd names, many names, holes, streams, links, deep folders. */
function fillAwkwardly(folder: string): void {
  const write = (name: string, size: number, seed: number) => writeFileSync(join(folder, name), pattern(size, seed))
  mkdirSync(join(folder, 'a/b/c/d/e'), { recursive: true })
  write('a/b/c/d/e/in the record', 300, 1)
  write('a/b/large', 300_001, 2)
  write('empty', 0, 3)
  write('with a stream', 10, 4)
  write('with a stream:second', 5_000, 5)
  for (const [i, name] of NAMES.entries()) write(name, i, i)
  mkdirSync(join(folder, 'many'))
  for (let i = 0; i < 400; i++) closeSync(openSync(join(folder, 'many', `file number ${i}`), 'w'))
  write('linked', 3_000, 6)
  // As many names as need an attribute list.
  for (let i = 0; i < 60; i++)
    linkSync(join(folder, 'linked'), join(folder, 'many', `another name for it, number ${i}`))
  symlinkSync('a/b/large', join(folder, 'link'))
  execFileSync('mkfifo', [join(folder, 'pipe')])
  const sparse = openSync(join(folder, 'sparse'), 'w')
  ftruncateSync(sparse, 900_000)
  writeSync(sparse, pattern(100, 7), 0, 100, 700_000)
  closeSync(sparse)
}

/** Capitals that are longer, alike or from another plane; what only POSIX takes in a name; names of devices. */
const NAMES = [
  'ſ',
  'İ',
  'ß',
  'ẞ',
  'ﬁ',
  'ŉ',
  'Ꭰ',
  'ꭰ',
  '𝒜',
  'é',
  'é',
  'CON',
  'dot.',
  'space ',
  'back\\slash',
  'a*b?',
  '~1',
]

const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** Path → SHA-256 of every regular file. */
function hashFiles(folder: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    found[path.slice(folder.length)] = hashOf(readFileSync(path))
  }
  return found
}
