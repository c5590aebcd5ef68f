/**
 * Blocks around the ends of chunks, where the block table has a sector-bitmap entry in between: an image that counts
 * one entry wrong has all later blocks in the wrong place.
 */
import { open } from 'node:fs/promises'
import { expect } from 'vitest'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { buildDisk, type Place, putBytes } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { run, testWith } from '../helpers/tools.ts'
import { withVhdi } from '../helpers/vhdi.ts'

const MiB = 1024 ** 2
const PIECE = 8192

/** Where the pieces go: at both ends of the blocks around the first and the second end of a chunk. */
const offsetsOf = (blockSize: number, blocksPerChunk: number) =>
  [blocksPerChunk - 1, blocksPerChunk, blocksPerChunk + 1, 2 * blocksPerChunk].flatMap(block => [
    block * blockSize,
    (block + 1) * blockSize - PIECE,
  ])

/** Each piece has a byte of its own. */
async function putPieces(whole: Place, offsets: readonly number[]): Promise<void> {
  for (const [i, offset] of offsets.entries()) await putBytes(offset, Buffer.alloc(PIECE, i + 1))(whole)
}

for (const blockSize of [1, 32, 256].map(size => size * MiB)) {
  const blocksPerChunk = (2 ** 23 * 512) / blockSize
  testWith(['qemu-img', 'qemu-io', '7zz'], `ours → qemu-io, 7-Zip: blocks of ${blockSize / MiB} MiB`, async () => {
    await using folder = await scratch()
    const [disk, image] = [folder.path('disk.raw'), folder.path('image.vhdx')]
    const size = (2 * blocksPerChunk + 1) * blockSize + 3 * MiB
    const offsets = offsetsOf(blockSize, blocksPerChunk)
    await run('qemu-img', ['create', '-f', 'raw', disk, `${size}`])
    await putPieces({ path: disk, offset: 0, length: size, sectorSize: 512 }, offsets)
    await vhdxJson('capture', disk, image, '--block-size', `${blockSize}`)
    expect((await vhdxJson('info', image)).allocatedBlocks).toBe(4)

    const reads = offsets.flatMap((offset, i) => ['-c', `read -P ${i + 1} ${offset} ${PIECE}`])
    const besides = offsets.flatMap((offset, i) => [
      '-c',
      `read -P 0 ${offset + (i % 2 === 0 ? PIECE : -PIECE)} ${PIECE}`,
    ])
    const { stdout } = await run('qemu-io', ['-r', '-f', 'vhdx', ...reads, ...besides, image])
    expect(stdout.match(/^read \d+\/\d+ bytes/gm)).toHaveLength(2 * offsets.length)
    expect(stdout).not.toContain('Pattern verification failed')
    expect((await run('7zz', ['t', '-tVHDX', image])).stdout).toContain('Everything is Ok')

    const last = `7zz e -tVHDX -so "$1" | tail -c +${offsets.at(-1)! + 1} | head -c ${PIECE}`
    if (blockSize === 32 * MiB) expect((await run('sh', ['-c', last, 'sh', image])).stdout).toBe('\x08'.repeat(PIECE))
  })
}

for (const blockSize of [2, 128].map(size => size * MiB)) {
  const blocksPerChunk = (2 ** 23 * 4096) / blockSize
  testWith(['loop', 'sgdisk', 'vhdimount'], `ours → libvhdi: blocks of ${blockSize / MiB} MiB, 4Kn`, async () => {
    await using folder = await scratch()
    const [disk, image] = [folder.path('disk.raw'), folder.path('image.vhdx')]
    const size = (2 * blocksPerChunk + 1) * blockSize + 8 * MiB
    const offsets = offsetsOf(blockSize, blocksPerChunk)
    await buildDisk(disk, { size, table: 'gpt', sectorSize: 4096, partitions: [{ type: '8300' }] })
    await putPieces({ path: disk, offset: 0, length: size, sectorSize: 4096 }, offsets)
    await vhdxJson('capture', disk, image, '--block-size', `${blockSize}`)
    expect((await vhdxJson('info', image)).logicalSectorSize).toBe(4096)
    expect(await vhdx(['check', image])).toMatchObject({ exitCode: 0 })
    await withVhdi(image, async path => {
      const copy = await open(path)
      for (const [i, offset] of offsets.entries()) {
        for (const [at, value] of [
          [offset, i + 1],
          [offset + (i % 2 === 0 ? PIECE : -PIECE), 0],
        ] as const) {
          const { buffer } = await copy.read(Buffer.alloc(PIECE), 0, PIECE, at)
          expect(buffer.equals(Buffer.alloc(PIECE, value))).toBe(true)
        }
      }
      await copy.close()
    })
  })
}
