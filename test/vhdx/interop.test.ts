/** Our images in other people's programs. What they write and we read is in crosscheck/. */
import { createHash } from 'node:crypto'
import { open, writeFile } from 'node:fs/promises'
import { describe, expect } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { VhdxBuilder } from '../../lib/vhdx/builder.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import type { VhdxOptions } from '../../lib/vhdx/image-plan.ts'
import { VhdxStreamBuilder } from '../../lib/vhdx/stream-builder.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run, testWith } from '../helpers/tools.ts'
import { withVhdi } from '../helpers/vhdi.ts'
import { TestImage } from './test-image.ts'

const ID = '788015f0-5e93-4bd2-a5de-b0cd8459db11'
const COMPLAINT = /error|warning|fail|corrupt|mismatch/i

/** The disk that `TestImage.make` puts in an image, or `streamed` in a stream. */
function diskOf(size: number, blockSize: number, blocks: readonly number[]): Buffer {
  const disk = Buffer.alloc(size)
  for (const block of blocks) pattern(blockSize, block * blockSize).copy(disk, block * blockSize)
  return disk
}

async function streamed(options: VhdxOptions & { blockSize: number }, blocks: readonly number[]): Promise<Buffer> {
  const pieces: Buffer[] = []
  const write = async (bytes: Buffer) => {
    pieces.push(Buffer.from(bytes))
  }
  const isPresent = (block: number) => blocks.includes(block)
  const builder = await VhdxStreamBuilder.create({ write }, { ...options, isPresent, presentCount: blocks.length })
  for (const block of blocks) await builder.payload(pattern(options.blockSize, block * options.blockSize))
  await builder.finish([{ itemId: ID, data: Buffer.from('hello') }])
  return Buffer.concat(pieces)
}

/** 7-Zip 26.02 takes no disk with an odd number of sectors, so these have even ones. */
const IMAGES = [
  { name: 'dynamic', options: { virtualSize: 20 * MiB - 1024, blockSize: 2 * MiB }, blocks: [0, 3, 9] },
  { name: 'dynamic, one block', options: { virtualSize: 5 * MiB, blockSize: 32 * MiB }, blocks: [0] },
  { name: 'dynamic, empty', options: { virtualSize: 20 * MiB, blockSize: MiB }, blocks: [] },
  { name: 'fixed', options: { virtualSize: 5 * MiB, blockSize: 2 * MiB, fixed: true }, blocks: [0, 1, 2] },
  {
    name: 'sectors of 4096',
    options: { virtualSize: 20 * MiB, blockSize: 2 * MiB, logicalSectorSize: 4096 },
    blocks: [1, 9],
  },
]

const WAYS = [
  {
    way: 'built',
    make: async (options: VhdxOptions, blocks: readonly number[]) =>
      (await TestImage.make(options, blocks, [{ itemId: ID, data: Buffer.from('hello') }])).content,
  },
  { way: 'streamed', make: streamed },
]

for (const { way, make } of WAYS) {
  describe(`ours, ${way}`, () => {
    for (const { name, options, blocks } of IMAGES) {
      const disk = diskOf(options.virtualSize, options.blockSize, blocks)

      // qemu knows no sectors of 4096 bytes.
      if (options.logicalSectorSize === undefined) {
        testWith(['qemu-img'], `→ qemu-img: ${name}`, async () => {
          await using folder = await scratch()
          const [image, raw] = [folder.path('image.vhdx'), folder.path('disk.raw')]
          await writeFile(image, await make(options, blocks))
          await writeFile(raw, disk)
          expect((await run('qemu-img', ['check', image])).stdout).toContain('No errors were found on the image')
          expect((await run('qemu-img', ['compare', image, raw])).stdout).toContain('Images are identical')
        })
      }

      testWith(['7zz'], `→ 7-Zip: ${name}`, async () => {
        await using folder = await scratch()
        await writeFile(folder.path('image.vhdx'), await make(options, blocks))
        const { stdout } = await run('7zz', ['t', '-tVHDX', folder.path('image.vhdx')])
        expect(stdout).toContain('Everything is Ok')
        expect(stdout).not.toMatch(COMPLAINT)
        await run('7zz', ['x', '-tVHDX', 'image.vhdx', '-oout'], { cwd: folder.folder })
        const [file] = (await run('ls', ['out'], { cwd: folder.folder })).stdout.trim().split('\n')
        await using extracted = await FileDevice.open(folder.path(`out/${file}`))
        const content = Buffer.alloc(extracted.size)
        await extracted.read(0, content)
        expect(content.equals(disk)).toBe(true)
      })

      testWith(['vhdiinfo', 'vhdimount', 'fuse'], `→ libvhdi: ${name}`, async () => {
        await using folder = await scratch()
        const image = folder.path('image.vhdx')
        await writeFile(image, await make(options, blocks))
        const { stdout, stderr } = await run('vhdiinfo', [image])
        expect(stdout).toContain(`(${options.virtualSize} bytes)`)
        expect(stdout).toContain(`Disk type		: ${options.fixed ? 'Fixed' : 'Dynamic'}`)
        expect(stdout).toContain(`Bytes per sector	: ${options.logicalSectorSize ?? 512} bytes`)
        expect(stderr).not.toMatch(COMPLAINT)
        const hash = createHash('sha256').update(disk).digest('hex')
        await withVhdi(image, async mounted => {
          expect((await run('sha256sum', [mounted])).stdout).toContain(hash)
        })
      })
    }
  })
}

describe('blocks around the ends of chunks', () => {
  for (const logicalSectorSize of [512, 4096]) {
    for (const size of [1, 2, 4, 8, 16, 32, 64, 128, 256]) {
      const blockSize = size * MiB
      const ratio = (2 ** 23 * logicalSectorSize) / blockSize
      const blocks = [0, ratio - 1, ratio, ratio + 1, 2 * ratio - 1, 2 * ratio, 2 * ratio + 1]

      testWith(
        ['vhdimount', 'fuse', 'qemu-io'],
        `ours → ${logicalSectorSize === 512 ? 'qemu-io, ' : ''}libvhdi: blocks of ${size} MiB, sectors of ${logicalSectorSize}`,
        async () => {
          await using folder = await scratch()
          const image = folder.path('image.vhdx')
          const virtualSize = (2 * ratio + 3) * blockSize
          await buildSparsely(image, { virtualSize, blockSize, logicalSectorSize }, blocks)
          // The marks, and zeros where a block off by one would show.
          const reads = Array.from({ length: 2 * ratio + 3 }, (_, block) => block)
            .filter(block => blocks.some(near => Math.abs(near - block) <= 2))
            .map(block => ({ offset: block * blockSize, mark: blocks.indexOf(block) + 1 }))
          await withVhdi(image, async mounted => {
            await using disk = { handle: await open(mounted), [Symbol.asyncDispose]: () => disk.handle.close() }
            for (const { offset, mark } of reads) {
              const bytes = Buffer.alloc(4096)
              await disk.handle.read(bytes, 0, 4096, offset)
              expect([offset, bytes.equals(Buffer.alloc(4096, mark))]).toEqual([offset, true])
            }
          })
          if (logicalSectorSize === 4096) return
          const commands = reads.flatMap(({ offset, mark }) => ['-c', `read -P ${mark} ${offset} 4096`])
          const { stdout } = await run('qemu-io', ['-r', '-f', 'vhdx', ...commands, image])
          expect(stdout).not.toContain('verification failed')
          expect(stdout.match(/^read 4096\/4096/gm)).toHaveLength(reads.length)
        },
      )
    }
  }

  /** Marks the start of each block with its number in the list; the rest are holes, which only a test may leave. */
  async function buildSparsely(path: string, options: VhdxOptions, blocks: readonly number[]): Promise<void> {
    await using file = await FileDevice.open(path, { mode: 'create' })
    const builder = await VhdxBuilder.create(file, options)
    for (const [n, block] of blocks.entries()) {
      const place = await builder.place(block)
      await file.write(place, Buffer.alloc(4096, n + 1))
      await file.write(place + builder.blockSize - 512, Buffer.alloc(512))
    }
    await builder.finish()
    expect((await checkVhdx(file)).problems).toEqual([])
  }
})
