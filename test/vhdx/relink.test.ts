/** A differencing image gets another parent, and the power is cut: it has the one or the other, and is the same disk. */
import { expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { OptionError } from '../../lib/errors.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { copyDown } from '../../lib/vhdx/copy-down.ts'
import { readVhdxIdentity } from '../../lib/vhdx/identity.ts'
import { newLocator, parentLocatorBytes } from '../../lib/vhdx/parent-locator.ts'
import { relink } from '../../lib/vhdx/relink.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { Random } from '../fuzz/random.ts'
import { afterAll, afterSome, type Moment, RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { type Layer, type LayerBlock, locatorOf, makeLayer } from './differencing-image.ts'

const SIZE = 3 * MiB
const head = (block: number): LayerBlock => ({ state: 6, written: [{ offset: block * MiB, length: 65_536 }] })

async function fileOf(layer: Pick<Layer, 'blocks' | 'seed'>, parent?: SparseFile): Promise<SparseFile> {
  const file = new SparseFile()
  const locator = parent && { locator: await locatorOf(parent, { relative_path: 'old.vhdx', volume_path: 'gone' }) }
  await makeLayer(file, { virtualSize: SIZE, blockSize: MiB, ...layer, ...locator })
  return file
}

async function contentOf(disk: VhdxDevice): Promise<Buffer> {
  const content = Buffer.alloc(disk.size)
  await disk.read(0, content)
  return content
}

const idOf = async (file: SparseFile) => (await readVhdxIdentity(file)).header.dataWriteGuid

test('cut at every moment of a rebase', async () => {
  const old = await fileOf({
    blocks: new Map([
      [0, head(0)],
      [1, head(1)],
    ]),
  })
  const next = await fileOf({
    seed: 50,
    blocks: new Map([
      [1, head(1)],
      [2, head(2)],
    ]),
  })
  const written = [{ offset: MiB + 4096, length: 8192 }]
  const child = await fileOf({ seed: 100, blocks: new Map([[1, { state: 7, written }]]) }, old)
  const parents = new Map([
    [await idOf(old), old],
    [await idOf(next), next],
  ])
  const diskIn = async (file: SparseFile) => {
    const { linkage } = (await readVhdxIdentity(file)).metadata.parentLocator!
    return VhdxDevice.open(file, { parent: await VhdxDevice.open(parents.get(linkage!)!) })
  }
  const [before, dataWriteGuid] = [await contentOf(await diskIn(child)), await idOf(child)]

  const random = new Random('rebase')
  const device = new RecordingDevice(child.copy(), { random })
  const disk = await VhdxDevice.openForWriting(device, { parent: await VhdxDevice.open(old), dataWriteGuid })
  // Block 0, what the child does not hold of block 1, and block 2.
  for (const [offset, end] of [
    [0, 65_536],
    [MiB, MiB + 4096],
    [MiB + 12_288, MiB + 65_536],
    [2 * MiB, 2 * MiB + 65_536],
  ]) {
    await copyDown(disk, { offset: offset!, length: end! - offset! })
  }
  await disk.close()
  const entries = newLocator(await idOf(next), { relative_path: `.\\${'deep\\'.repeat(200)}new.vhdx` })
  await relink(device, entries)
  device.mark()

  const ids = new Set<string>()
  const verify = async (file: SparseFile, moment: number) => {
    const now = await diskIn(file)
    if (!(await contentOf(now)).equals(before)) expect.fail(`the disk is another one at moment ${moment}`)
    expect(now.header.dataWriteGuid).toBe(dataWriteGuid)
    const { entries: found, linkage } = now.metadata.parentLocator!
    expect([...found.keys()]).toContain('relative_path')
    expect(found.has('volume_path')).toBe(linkage !== (await idOf(next)))
    const errors = (await checkVhdx(file)).problems.filter(({ severity }) => severity === 'error')
    expect(errors.map(({ message }) => message)).toEqual([])
    ids.add(linkage!)
  }
  const { moments } = device
  for (const [index, moment] of moments.entries()) await verify(afterAll(moment), index)
  for (let n = 0; n < 120; n++) {
    const index = random.below(moments.length)
    await verify(afterSome(moments[index] as Moment, random), index)
  }
  expect([...ids].sort()).toEqual([...parents.keys()].sort())
  const problems = (await checkVhdx(device.content)).problems.map(({ code }) => code)
  expect(problems).toEqual(['PARENT_NOT_OPENED'])
})

test('a path that no locator can hold', () => {
  const long = `.\\${'x'.repeat(32_768)}`
  expect(() => parentLocatorBytes(new Map([['relative_path', long]]))).toThrow(OptionError)
})
