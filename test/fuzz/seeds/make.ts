/**
 * Makes the packed seeds anew: tsx test/fuzz/seeds/make.ts. Needs root, FUSE, ntfs-3g, dosfstools, mtools, wimtools and
 * python3 (Node cannot set extended attributes). They are committed since no two runs of these tools give the same bytes.
 */
import {
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { scratch } from '../../helpers/folders.ts'
import { pattern } from '../../helpers/pattern.ts'
import { run } from '../../helpers/run.ts'
import { volumeBytes } from '../../ntfs/volumes.ts'
import { packSeed } from './packed.ts'

const MiB = 1024 ** 2

/** Text that packs well, but not in a single match. */
const text = (size: number) => {
  let lines = ''
  for (let i = 0; lines.length < size; i++) lines += `line ${i * i} of some text that packs well, ${i % 7}\n`
  return Buffer.from(lines.slice(0, size))
}

/** How WOF numbers its formats. */
const WOF_FORMATS = { 'xpress-4k': 0, lzx: 1, 'xpress-8k': 2, 'xpress-16k': 3 } as const
const CHUNK_SIZES = { 'xpress-4k': 4096, lzx: 32_768, 'xpress-8k': 8192, 'xpress-16k': 16_384 } as const
const WOF_TAG = 0x8000_0017

const packed: Partial<Record<keyof typeof WOF_FORMATS, Buffer>> = {}
for (const format of Object.keys(WOF_FORMATS) as (keyof typeof WOF_FORMATS)[]) {
  packed[format] = await wimResource(text(40_000), format.split('-')[0]!, CHUNK_SIZES[format])
  packSeed(`${format}.wof`, packed[format])
}

packSeed('ntfs-512', await volumeBytes({ size: 1.5 * MiB, clusterSize: 512, label: 'Fuzz' }, fillNtfs))
packSeed('ntfs-4k', await volumeBytes({ size: 3 * MiB, label: 'Packed', compressed: true }, fillCompressed))
for (const bits of [12, 16, 32] as const) packSeed(`fat${bits}`, await fatBytes(bits))

async function fillNtfs(folder: string): Promise<void> {
  const path = (name: string) => join(folder, name)
  writeFileSync(path('resident.txt'), pattern(200))
  writeFileSync(path('plain.bin'), pattern(9000))
  writeFileSync(path('plain.bin:stream'), pattern(1500))
  writeFileSync(path('Größe 大.txt'), pattern(700))
  const sparse = openSync(path('sparse.bin'), 'w')
  truncateSync(path('sparse.bin'), 100_000)
  writeSync(sparse, pattern(3000), 0, 3000, 60_000)
  closeSync(sparse)
  mkdirSync(path('many'))
  for (let i = 0; i < 60; i++) writeFileSync(path(`many/${i} has a rather long name`), '')
  mkdirSync(path('a/deeper/folder'), { recursive: true })
  writeFileSync(path('a/deeper/folder/file'), pattern(3000))
  for (let i = 0; i < 12; i++) linkSync(path('plain.bin'), path(`a/another and longer name of it, number ${i}`))
  symlinkSync('../plain.bin', path('a/link'))
  writeFileSync(path('pagefile.sys'), pattern(3000))
  for (const format of ['xpress-4k', 'lzx'] as const) await writeWof(path(`${format}.exe`), format)
  await setReparsePoint(path('elsewhere'), junction('\\??\\C:\\Users'))
}

async function fillCompressed(folder: string): Promise<void> {
  const path = (name: string) => join(folder, name)
  writeFileSync(path('text.log'), text(150_000))
  writeFileSync(path('zeros'), Buffer.alloc(200_000))
  writeFileSync(path('mixed'), Buffer.concat([text(70_000), pattern(70_000), Buffer.alloc(70_000), text(5000)]))
  for (const format of ['xpress-8k', 'xpress-16k'] as const) await writeWof(path(`${format}.exe`), format)
}

/** A file as CompactOS leaves it: nothing but zeros in it, the packed content in a stream, a reparse point that says so. */
async function writeWof(path: string, format: keyof typeof WOF_FORMATS): Promise<void> {
  writeFileSync(path, '')
  truncateSync(path, 40_000)
  writeFileSync(`${path}:WofCompressedData`, packed[format]!)
  const data = Buffer.alloc(16)
  for (const [i, value] of [1, 2, 1, WOF_FORMATS[format]].entries()) data.writeUInt32LE(value, i * 4)
  await setReparsePoint(path, reparsePoint(WOF_TAG, data))
}

function reparsePoint(tag: number, data: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(tag)
  header.writeUInt16LE(data.length, 4)
  return Buffer.concat([header, data])
}

function junction(target: string): Buffer {
  const name = Buffer.from(target, 'utf16le')
  const header = Buffer.alloc(8)
  header.writeUInt16LE(name.length, 2)
  header.writeUInt16LE(name.length + 2, 4)
  return reparsePoint(0xa000_0003, Buffer.concat([header, name, Buffer.alloc(4)]))
}

async function setReparsePoint(path: string, value: Buffer): Promise<void> {
  if (path.endsWith('elsewhere')) mkdirSync(path)
  const script = `import os; os.setxattr(${JSON.stringify(path)}, 'system.ntfs_reparse_data', bytes.fromhex('${value.toString('hex')}'))`
  await run('python3', ['-c', script])
}

/** The packed form of `content` in a WIM, which is that of WOF. */
async function wimResource(content: Buffer, compression: string, chunkSize: number): Promise<Buffer> {
  await using files = await scratch()
  mkdirSync(files.path('tree'))
  writeFileSync(files.path('tree/file'), content)
  const options = [`--compress=${compression}`, `--chunk-size=${chunkSize}`, '--no-acls']
  await run('wimlib-imagex', ['capture', files.path('tree'), files.path('wim'), ...options])
  const wim = readFileSync(files.path('wim'))
  // The table of resources, where the header says; the first with the size of the content is it.
  const table = Number(wim.readBigUInt64LE(0x38))
  for (let entry = table; ; entry += 50) {
    if (Number(wim.readBigUInt64LE(entry + 16)) !== content.length) continue
    const start = Number(wim.readBigUInt64LE(entry + 8))
    return wim.subarray(start, start + wim.readUIntLE(entry, 6))
  }
}

async function fatBytes(bits: 12 | 16 | 32): Promise<Buffer> {
  await using files = await scratch()
  const image = files.path('fat')
  // The fewest clusters that make each kind.
  const size = { 12: 128 * 1024, 16: 2.2 * MiB, 32: 33 * MiB }[bits]
  writeFileSync(image, '')
  truncateSync(image, Math.floor(size / 512) * 512)
  await run('mkfs.fat', ['-F', `${bits}`, '-s', '1', '-n', 'FUZZ', '-i', '12345678', image])
  const options = ['-i', image]
  await run('mmd', [...options, '::A Longer Folder', '::SUB', '::SUB/DEEP'])
  const put = (name: string, content: Buffer) =>
    run('mcopy', [...options, '-', `::${name}`], { input: content, env: { LC_ALL: 'C.UTF-8' } })
  await put('SHORT.TXT', pattern(700))
  await put('A name that is longer than it was once.txt', pattern(5000))
  await put('A Longer Folder/Größe.bin', pattern(3000))
  for (let i = 0; i < 20; i++) await put(`SUB/file number ${i}`, pattern(i * 40))
  await put('SUB/DEEP/empty', Buffer.alloc(0))
  const volume = readFileSync(image)
  return bits === 32 ? cutFat32(volume) : volume
}

/** FAT32 is large by the book. What is behind the files is cut off, which leaves tables that are longer than need be. */
function cutFat32(volume: Buffer): Buffer {
  const sectors = 2000
  for (const boot of [0, 6 * 512]) volume.writeUInt32LE(sectors, boot + 0x20)
  volume.writeUInt32LE(0xffff_ffff, 512 + 488) // The count of free clusters: not known.
  return volume.subarray(0, sectors * 512)
}
