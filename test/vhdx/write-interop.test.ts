/** Images that we and others write in turn, and those that were left in the middle of it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { createChild, createImage } from '../../lib/copy/create-image.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { Random } from '../fuzz/random.ts'
import { collect } from '../helpers/collect.ts'
import { repository, type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { by7Zip } from '../helpers/seven-zip.ts'
import { run, testWith } from '../helpers/tools.ts'
import { perform, performOn, randomRequests } from './disk-requests.ts'
import { diskAfter } from './killed-writing.ts'
import { layersOfEveryKind } from './writable-chains.ts'
import { WriteTrial } from './write-trial.ts'

const SIZE = 24 * MiB

async function openForWriting(path: string, parent?: BlockDevice): Promise<VhdxDevice> {
  return VhdxDevice.openForWriting(await FileDevice.open(path, { mode: 'write' }), { parent })
}

async function contentOf(disk: BlockDevice): Promise<Buffer> {
  const content = Buffer.alloc(disk.size)
  await disk.read(0, content)
  return content
}

async function readByUs(path: string): Promise<Buffer> {
  await using disk = await VhdxDevice.open(await FileDevice.open(path))
  return await contentOf(disk)
}

async function readByQemu(path: string, folder: Scratch): Promise<Buffer> {
  await run('qemu-img', ['convert', '-f', 'vhdx', '-O', 'raw', path, folder.path('by-qemu.raw')])
  return await readFile(folder.path('by-qemu.raw'))
}

const readBy7Zip = async (path: string) => Buffer.concat(await collect(by7Zip(path)))

const createByQemu = (path: string) =>
  run('qemu-img', ['create', '-q', '-f', 'vhdx', '-o', 'block_size=1M', path, `${SIZE}`])

/** Several `-c` of qemu-io. */
const qemuIo = (path: string, ...commands: readonly string[]) =>
  run('qemu-io', ['-f', 'vhdx', ...commands.flatMap(command => ['-c', command]), path])

describe('an image whose power was cut', () => {
  testWith(['qemu-img'], 'is replayed by qemu to the same disk', async () => {
    await using folder = await scratch()
    const kinds = layersOfEveryKind(512)
    for (const kind of ['dynamic', 'fixed']) {
      const trial = await WriteTrial.run({ name: `${kind}, for qemu`, layers: kinds.get(kind)!, steps: 24 })
      for (const { file, disk } of await trial.filesOf(12, 'qemu')) {
        const path = folder.path('image.vhdx')
        await writeFile(path, file.toBuffer())
        const ours = await contentOf(disk)
        await run('qemu-img', ['check', '-q', '-r', 'all', '-f', 'vhdx', path])
        expect((await readByQemu(path, folder)).equals(ours)).toBe(true)
      }
    }
  })

  for (const sectorSize of [512, 4096]) {
    testWith(
      ['7zz'],
      `is read by 7-Zip as it is when we have replayed it, with sectors of ${sectorSize} bytes`,
      async () => {
        await using folder = await scratch()
        const layers = layersOfEveryKind(sectorSize).get('dynamic')!
        const trial = await WriteTrial.run({ name: `for 7-Zip, ${sectorSize}`, layers, steps: 24 })
        for (const { file, disk } of await trial.filesOf(8, '7-Zip')) {
          const path = folder.path('image.vhdx')
          const ours = await contentOf(disk)
          const again = await VhdxDevice.openForWriting(file)
          // It wants both headers whole.
          await again.write(0, ours.subarray(0, 1))
          await again.close()
          await writeFile(path, file.toBuffer())
          expect((await readBy7Zip(path)).equals(ours)).toBe(true)
        }
      },
    )
  }
})

testWith(['qemu-img', '7zz'], 'a writer that is killed leaves an image that qemu replays, and so do we', async () => {
  await using folder = await scratch()
  for (const steps of [1, 9, 40]) {
    const [path, copy] = [folder.path(`${steps}.vhdx`), folder.path('copy.vhdx')]
    await createByQemu(path)
    const flushed = await killAfter(steps, path)
    await copyFile(path, copy)
    await run('qemu-img', ['check', '-q', '-r', 'all', '-f', 'vhdx', copy])
    const byQemu = await readByQemu(copy, folder)
    expect((await readByUs(path)).equals(byQemu)).toBe(true)
    // It may have been killed in the middle of the next one.
    const expected = [flushed, flushed + 1].map(end => diskAfter(end, SIZE))
    expect(expected.some(disk => disk.equals(byQemu))).toBe(true)
    await (await openForWriting(path)).close()
    await run('qemu-img', ['check', '-q', '-f', 'vhdx', path])
    expect((await readBy7Zip(path)).equals(byQemu)).toBe(true)
  }
})

/** Lets the writer do so many steps before it is killed, and says how many it did. */
async function killAfter(steps: number, path: string): Promise<number> {
  const writer = spawn(process.execPath, ['--import', 'tsx', join(import.meta.dirname, 'killed-writer.ts'), path], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(writer, 'close')
  let done = 0
  for await (const line of createInterface(writer.stdout)) {
    done = Number(line) + 1
    if (done >= steps) writer.kill('SIGKILL')
  }
  await closed
  expect(writer.signalCode).toBe('SIGKILL')
  return done
}

testWith(
  ['qemu-img', 'qemu-io'],
  'an image that qemu did not close is replayed by us, written, and read by qemu',
  async () => {
    await using folder = await scratch()
    const path = folder.path('image.vhdx')
    await createByQemu(path)
    await qemuIo(path, 'write -P 4 3M 100k', 'write -P 1 0 100k')
    // Its entry is in the log, and the sector of the BAT fails: only that keeps qemu from marking the log clean.
    const image = `file.driver=blkdebug,file.image.driver=file,file.image.filename=${path}`
    const fault = `file.inject-error.0.event=none,file.inject-error.0.iotype=write,file.inject-error.0.sector=${(2 * MiB) / 512}`
    const commands = `-c 'write -P 18 17M 100k' -c abort`
    await run('sh', ['-c', `qemu-io --image-opts ${commands} driver=vhdx,${image},${fault} || true`])
    const copy = folder.path('copy.vhdx')
    await copyFile(path, copy)
    await run('qemu-img', ['check', '-q', '-r', 'all', '-f', 'vhdx', copy])
    const disk = await openForWriting(path)
    expect(disk.log).toBe('replayed')
    const expected = Buffer.alloc(SIZE)
    for (const mebibyte of [3, 0, 17]) expected.fill(mebibyte + 1, mebibyte * MiB, mebibyte * MiB + 100 * 1024)
    expect((await contentOf(disk)).equals(expected)).toBe(true)
    expect((await readByQemu(copy, folder)).equals(expected)).toBe(true)
    await disk.write(MiB / 2, pattern(5 * MiB))
    pattern(5 * MiB).copy(expected, MiB / 2)
    await disk.close()
    await run('qemu-img', ['check', '-q', '-f', 'vhdx', path])
    expect((await readByQemu(path, folder)).equals(expected)).toBe(true)
  },
)

testWith(
  ['qemu-img', 'qemu-io', '7zz'],
  'qemu and we write one image in turn, and each reads what the other wrote',
  async () => {
    await using folder = await scratch()
    const path = folder.path('image.vhdx')
    await createByQemu(path)
    const random = new Random('in turn')
    const kind = { size: SIZE, sectorSize: 512, blockSize: MiB, isFixed: false, grain: 512 }
    const expected = Buffer.alloc(SIZE)
    for (let turn = 0; turn < 12; turn++) {
      const offsets = Array.from({ length: 6 }, () => random.below(SIZE / 4096 - 400) * 4096)
      const length = 4096 * (1 + random.below(400))
      await qemuIo(path, ...offsets.map(offset => `write -P ${turn + 1} ${offset} ${length}`), 'flush')
      for (const offset of offsets) expected.fill(turn + 1, offset, offset + length)
      const disk = await openForWriting(path)
      expect((await contentOf(disk)).equals(expected)).toBe(true)
      for (const request of randomRequests(kind, 8, 512, random)) {
        await perform(disk, request)
        performOn(expected, request, kind)
      }
      await disk.close()
      await run('qemu-img', ['check', '-q', '-f', 'vhdx', path])
      expect((await readByQemu(path, folder)).equals(expected)).toBe(true)
      expect((await readBy7Zip(path)).equals(expected)).toBe(true)
    }
    await using file = await FileDevice.open(path)
    expect((await checkVhdx(file)).summary.errors).toBe(0)
  },
)

for (const logicalSectorSize of [512, 4096]) {
  testWith(
    ['7zz'],
    `a chain of three that we wrote is read by 7-Zip, with sectors of ${logicalSectorSize} bytes`,
    async () => {
      await using folder = await scratch()
      const random = new Random(`chain ${logicalSectorSize}`)
      const [base, child, grandchild] = ['base', 'child', 'grandchild'].map(name => folder.path(`${name}.vhdx`)) as [
        string,
        string,
        string,
      ]
      await createImage(base, { virtualSize: SIZE, blockSize: 2 * MiB, logicalSectorSize })
      const expected = Buffer.alloc(SIZE)
      const kind = { size: SIZE, sectorSize: logicalSectorSize, blockSize: 2 * MiB, isFixed: false, grain: 1 }
      const write = async (path: string, parent?: BlockDevice) => {
        const disk = await openForWriting(path, parent)
        for (let n = 0; n < 3; n++) {
          for (const request of randomRequests(kind, 12, 512, random)) {
            await perform(disk, request)
            performOn(expected, request, kind)
          }
          await disk.flush()
        }
        await disk.close()
      }
      await write(base)
      await createChild(child, base)
      await using baseDisk = await VhdxDevice.open(await FileDevice.open(base))
      await write(child, baseDisk)
      expect((await readBy7Zip(child)).equals(expected)).toBe(true)
      await createChild(grandchild, child)
      await using childDisk = await VhdxDevice.open(await FileDevice.open(child), { parent: baseDisk })
      await write(grandchild, childDisk)
      expect((await readBy7Zip(grandchild)).equals(expected)).toBe(true)
    },
  )
}
