/**
 * How fast compressed content is read on one core, from memory, through what reads files: WOF's four formats as wimlib compresses, LZNT1
 * as ntfs-3g does. Seconds of the processor count, so that what else runs does not.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatSize } from '../../lib/binary/size.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { AttributeReader } from '../../lib/ntfs/attribute-reader.ts'
import type { Geometry } from '../../lib/ntfs/boot-sector.ts'
import { WofReader, wofFormats } from '../../lib/ntfs/wof-reader.ts'
import { compressByWimlib, WOF_FORMATS } from '../codec/wof-streams.ts'
import { repository } from '../helpers/folders.ts'
import { openBytes, volumeBytes } from '../ntfs/volumes.ts'
import { median } from './measure.ts'
import type { Settings } from './settings.ts'

const MiB = 1024 ** 2
/** Bytes that are read at once, as copying out does. */
const PIECE = MiB
/** Bytes that are read in a round, again and again the same: by then the engine has compiled what reads them. */
const ROUND = 64 * MiB

export async function benchCodecs({ rounds }: Pick<Settings, 'rounds'>): Promise<void> {
  const contents = [await machineCode(), await declarations()]
  console.log('\nReading compressed content, bytes of content per second of one core\n')
  console.log('| method | program | text |')
  console.log('| --- | ---: | ---: |')
  for (const format of WOF_FORMATS) {
    const streams = await compressByWimlib(contents, format)
    const readers = contents.map(
      ({ length }, i) => new WofReader(inRecord(streams[i]!), length, wofFormats[format.number]!),
    )
    await printRates(format.name, readers, contents, rounds)
  }
  await printRates('LZNT1', await compressedFiles(contents), contents, rounds)
}

/** Bytes of the program that runs this, from the middle of it. */
async function machineCode(): Promise<Buffer> {
  const program = await readFile(process.execPath)
  const start = Math.floor(program.length / 3)
  return program.subarray(start, start + 8 * MiB)
}

/** The types of Node's interface, with the text that explains them. */
async function declarations(): Promise<Buffer> {
  const folder = join(repository, 'node_modules/@types/node')
  const names = (await readdir(folder)).filter(name => name.endsWith('.d.ts')).sort()
  return Buffer.concat(await Promise.all(names.map(name => readFile(join(folder, name)))))
}

function inRecord(value: Buffer): AttributeReader {
  const attribute = { type: 0x80, name: '', flags: 0, position: 0, resident: true, value } as const
  return new AttributeReader(new MemoryDevice(Buffer.alloc(0)), {} as Geometry, [attribute])
}

async function compressedFiles(contents: readonly Buffer[]): Promise<BlockDevice[]> {
  const bytes = await volumeBytes({ size: 32 * MiB, compressed: true }, async folder => {
    for (const [i, content] of contents.entries()) await writeFile(join(folder, `${i}`), content)
  })
  const files = await (await openBytes(bytes)).openFiles()
  return Promise.all(contents.map(async (_, i) => files.open(await files.stat(`${i}`))))
}

async function printRates(
  name: string,
  devices: readonly BlockDevice[],
  contents: readonly Buffer[],
  rounds: number,
): Promise<void> {
  const rates: string[] = []
  for (const [i, device] of devices.entries()) {
    const content = contents[i]!
    await readThrough(device, (piece, at) => {
      if (!piece.equals(content.subarray(at, at + PIECE)))
        throw new Error(`${name} gives other bytes than it was given`)
    })
    const times = Math.ceil(ROUND / content.length)
    const seconds: number[] = []
    for (let round = 0; round < rounds; round++) {
      const before = process.cpuUsage()
      for (let i = 0; i < times; i++) await readThrough(device, () => {})
      const { user, system } = process.cpuUsage(before)
      seconds.push((user + system) / 1e6)
    }
    rates.push(`${formatSize((times * content.length) / median(seconds))}/s`)
  }
  console.log(`| ${name} | ${rates.join(' | ')} |`)
}

async function readThrough(device: BlockDevice, look: (piece: Buffer, at: number) => void): Promise<void> {
  const buffer = Buffer.alloc(PIECE)
  for (let at = 0; at < device.size; at += PIECE) {
    const piece = buffer.subarray(0, Math.min(PIECE, device.size - at))
    await device.read(at, piece)
    look(piece, at)
  }
}
