/** Merging: the parent becomes the disk that its child is, and the child is that disk at every moment. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import type { BlockDevice, ResizableDevice } from '../../lib/device/block-device.ts'
import { StorageError } from '../../lib/errors.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { IS_USER, IS_VIRTUAL_DISK } from '../../lib/vhdx/format.ts'
import { readVhdxIdentity } from '../../lib/vhdx/identity.ts'
import { type MergeJob, mergeImages } from '../../lib/vhdx/merge.ts'
import { heldByLayers } from '../../lib/vhdx/merge-layers.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { WriteSession } from '../../lib/vhdx/write-session.ts'
import { Random } from '../fuzz/random.ts'
import { collect } from '../helpers/collect.ts'
import { afterAll, afterSome, type Moment, RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { type Layer, type LayerBlock, locatorOf, makeLayer } from './differencing-image.ts'

type Layers = readonly Omit<Layer, 'locator'>[]

/** The files of a chain, the base first. */
async function makeFiles(layers: Layers): Promise<SparseFile[]> {
  const files: SparseFile[] = []
  for (const layer of layers) {
    const [file, parent] = [new SparseFile(), files.at(-1)]
    const locator = parent && (await locatorOf(parent, { relative_path: 'parent.vhdx' }))
    await makeLayer(file, locator === undefined ? layer : { ...layer, locator })
    files.push(file)
  }
  return files
}

async function open(files: readonly BlockDevice[]): Promise<VhdxDevice> {
  let disk: VhdxDevice | undefined
  for (const file of files) disk = await VhdxDevice.open(file, { parent: disk })
  return disk!
}

async function contentOf(files: readonly BlockDevice[]): Promise<Buffer> {
  const disk = await open(files)
  const content = Buffer.alloc(disk.size)
  await disk.read(0, content)
  return content
}

const linkOf = async (file: BlockDevice) => (await readVhdxIdentity(file)).metadata.parentLocator!
const idOf = async (file: BlockDevice) => (await readVhdxIdentity(file)).header.dataWriteGuid

/** Merges all images of a chain that lie above the one with the index `into`. */
async function merge(files: readonly ResizableDevice[], into = 0, more: Partial<MergeJob> = {}): Promise<void> {
  const images = files.slice(into + 1).toReversed()
  const below = files.slice(0, into)
  const grandparent = below.length === 0 ? undefined : await open(below)
  await mergeImages({ images, child: images.at(-1)! as ResizableDevice, parent: files[into]!, grandparent, ...more })
}

/** No errors, and warnings only about ids that are both good. */
async function expectSound(file: BlockDevice, mayBeDirty = false): Promise<void> {
  const { problems } = await checkVhdx(file)
  const allowed = ['PARENT_NOT_OPENED', ...(mayBeDirty ? ['PARENT_LINKAGE2', 'LOG_DIRTY', 'FILE_TRAILING_SPACE'] : [])]
  const bad = problems.filter(({ code, severity }) => !allowed.includes(code) && (!mayBeDirty || severity === 'error'))
  expect(bad.map(({ message }) => message)).toEqual([])
}

const SIZE = 3 * MiB + 8192

const sectorsOf = (block: number, ...sectors: number[]) =>
  sectors.map(sector => ({ offset: block * MiB + sector * 4096, length: 4096 }))
/** The rest of it stays a hole. */
const whole = (block: number, blockSize = MiB, size = SIZE): [number, LayerBlock] => {
  const offset = block * blockSize
  return [block, { state: 6, written: [{ offset, length: Math.min(64 * 1024, size - offset) }] }]
}
const part = (block: number, ...sectors: number[]): [number, LayerBlock] => [
  block,
  { state: 7, written: sectorsOf(block, ...sectors) },
]
const without = (block: number, state: number): [number, LayerBlock] => [block, { state }]
const layer = (seed: number, ...blocks: [number, LayerBlock][]): Layers[number] => ({
  virtualSize: SIZE,
  blockSize: MiB,
  seed,
  blocks: new Map(blocks),
})

const BASE = layer(0, whole(0), whole(1), whole(2), whole(3))
const CHILD = layer(50, part(0, 1, 3, 9, 100), without(1, 2), whole(2), part(3, 0))
const LEAF = layer(100, part(0, 2, 3), part(1, 7), without(2, 3), part(3, 1))

describe('after a merge', () => {
  const cases: [string, Layers, number][] = [
    ['of a child into a dynamic image', [BASE, CHILD], 0],
    ['into an empty one', [layer(0), CHILD], 0],
    ['into a fixed one', [{ ...BASE, fixed: true }, CHILD], 0],
    ['of an empty child', [BASE, layer(1)], 0],
    ['of two children', [BASE, CHILD, LEAF], 0],
    ['into an image that is a child itself', [BASE, CHILD, LEAF], 1],
    [
      'of blocks of another size',
      [{ ...layer(0, whole(0, 2 * MiB), whole(1, 2 * MiB)), blockSize: 2 * MiB }, CHILD],
      0,
    ],
    ['of sectors of 4096 bytes', [BASE, CHILD, LEAF].map(layer => ({ ...layer, logicalSectorSize: 4096 })), 0],
    ['of a larger disk', [BASE, { ...CHILD, virtualSize: 6 * MiB + 512 }], 0],
    ['of a larger disk above a smaller one', [BASE, CHILD, { ...LEAF, virtualSize: 9 * MiB }], 0],
    ['of a smaller disk', [BASE, { ...layer(50, part(0, 1)), virtualSize: 2 * MiB + 4096 }], 0],
    [
      'of a disk above one that was cut',
      [BASE, { ...layer(50, part(0, 1)), virtualSize: MiB + 4096 }, { ...LEAF, blocks: new Map([part(1, 3)]) }],
      0,
    ],
  ]
  test.each(cases)('%s the parent is what the child was, and the child is what it was', async (_, layers, into) => {
    const files = await makeFiles(layers)
    const before = await contentOf(files)
    const link = await linkOf(files[into + 1]!)
    await merge(files, into)
    expect((await contentOf(files.slice(0, into + 1))).equals(before)).toBe(true)
    expect((await contentOf(files)).equals(before)).toBe(true)
    for (const file of files) await expectSound(file)
    const id = await idOf(files[into]!)
    expect(id).not.toBe(link.linkage)
    expect([...(await linkOf(files[into + 1]!)).entries].sort()).toEqual([
      ['parent_linkage', `{${id}}`],
      ['relative_path', 'parent.vhdx'],
    ])
    // It can be done again.
    await merge(files, into)
    expect((await contentOf(files.slice(0, into + 1))).equals(before)).toBe(true)
    for (const file of files) await expectSound(file)
  })

  test('blocks that the child has as zeros take no place in the parent', async () => {
    const base = layer(0, whole(3), whole(0), whole(1), whole(2))
    const files = await makeFiles([base, layer(1, without(0, 2), without(1, 1), without(2, 3))])
    const before = files[0]!.size
    await merge(files)
    expect(files[0]!.size).toBe(before - 3 * MiB)
    const states = await collect((await open([files[0]!])).blockStates())
    expect(states.map(({ state, count }) => [state, count])).toEqual([
      ['zero', 3],
      ['fullyPresent', 1],
    ])
  })

  test("the parent has the items of the child's disk, and its own of the file", async () => {
    const files = await makeFiles([BASE, CHILD])
    const [ours, both, theirs, file] = ['1', '2', '3', '4'].map(n => `00000000-0000-0000-0000-00000000000${n}`) as [
      string,
      string,
      string,
      string,
    ]
    const add = async (target: SparseFile, ...items: [id: string, flags: number, text: string][]) => {
      const session = await WriteSession.open(target)
      await session.setItems(items.map(([itemId, flags, text]) => ({ itemId, flags, data: Buffer.from(text) })))
      await session.close()
    }
    await add(
      files[0]!,
      [ours, IS_VIRTUAL_DISK, 'gone'],
      [both, IS_VIRTUAL_DISK + IS_USER, 'old'],
      [file, IS_USER, 'kept'],
    )
    await add(
      files[1]!,
      [both, IS_VIRTUAL_DISK + IS_USER, 'new and longer'],
      [theirs, IS_VIRTUAL_DISK, 'came'],
      [file, IS_USER, 'stays there'],
    )
    await merge(files, 0, {
      items: { set: [{ itemId: ours, flags: IS_USER, data: Buffer.from('given') }], removed: [] },
    })
    const { structures } = await WriteSession.open(files[0]!)
    const content = files[0]!.toBuffer()
    const texts = structures.metadataRegion.items
      .slice(5)
      .map(({ itemId, offset, length }) => [itemId, content.toString('latin1', offset, offset + length)])
    expect(texts.sort()).toEqual([
      [ours, 'given'],
      [both, 'new and longer'],
      [theirs, 'came'],
      [file, 'kept'],
    ])
  })

  test('an image that is larger than its parent, which is smaller than its own, is not merged', async () => {
    const files = await makeFiles([
      BASE,
      { ...CHILD, virtualSize: 2 * MiB, blocks: new Map() },
      { ...LEAF, virtualSize: 9 * MiB },
    ])
    const before = files.map(file => file.toBuffer())
    await expect(merge(files, 1)).rejects.toMatchObject({ code: 'MERGE_SIZES' })
    for (const [n, file] of files.entries()) expect(file.toBuffer().equals(before[n]!)).toBe(true)
  })

  test('a parent with two blocks in one place is not merged into, and the child does not know of it', async () => {
    const files = await makeFiles([BASE, CHILD])
    const [parent, child] = files as [SparseFile, SparseFile]
    const entry = Buffer.alloc(8)
    await parent.read(3 * MiB, entry)
    parent.put(3 * MiB + 8, entry)
    const before = files.map(file => file.toBuffer())
    await expect(merge(files)).rejects.toMatchObject({ name: 'FormatError', code: 'BAT_OVERLAP' })
    expect(parent.toBuffer().equals(before[0]!)).toBe(true)
    expect(child.toBuffer().equals(before[1]!)).toBe(true)
  })

  test('a parent that was written to is not merged into', async () => {
    const files = await makeFiles([BASE, CHILD])
    const disk = await VhdxDevice.openForWriting(files[0]!)
    await disk.write(0, Buffer.alloc(1))
    await disk.close()
    await expect(merge(files)).rejects.toMatchObject({ code: 'PARENT_CHANGED' })
  })
})

describe('by chance', () => {
  const block = fc.oneof(
    fc.constantFrom(0, 0, 1, 2, 3).map(state => ({ state, sectors: [] as number[] })),
    fc.constant({ state: 6, sectors: [] as number[] }),
    fc.uniqueArray(fc.nat(255), { minLength: 1, maxLength: 12 }).map(sectors => ({ state: 7, sectors })),
  )
  const anyLayer = fc.tuple(
    fc.constantFrom(2 * MiB, SIZE, SIZE, SIZE, 4 * MiB, 5 * MiB - 4096),
    fc.array(block, { minLength: 5, maxLength: 5 }),
  )
  const layersOf = (made: readonly (typeof anyLayer extends fc.Arbitrary<infer T> ? T : never)[]): Layers =>
    made.map(([virtualSize, blocks], index) => ({
      virtualSize,
      blockSize: MiB,
      seed: 50 * index,
      blocks: new Map(
        blocks
          .map(({ state, sectors }, number): [number, LayerBlock] => {
            if (state === 6 || (state === 7 && index === 0)) return whole(number, MiB, virtualSize)
            const own = sectorsOf(number, ...sectors).filter(({ offset }) => offset < virtualSize)
            return [number, { state: state === 7 && own.length === 0 ? 0 : state, written: own }]
          })
          .filter(([number]) => number * MiB < virtualSize),
      ),
    }))

  test('any images into any of them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyLayer, { minLength: 2, maxLength: 4 }), fc.nat(2), async (made, where) => {
        const layers = layersOf(made)
        const files = await makeFiles(layers)
        const into = Math.min(where, files.length - 2)
        const before = await contentOf(files)
        try {
          await merge(files, into)
        } catch (error) {
          expect(error).toMatchObject({ code: 'MERGE_SIZES' })
          return
        }
        expect((await contentOf(files.slice(0, into + 1))).equals(before)).toBe(true)
        expect((await contentOf(files)).equals(before)).toBe(true)
        for (const file of files) await expectSound(file)
      }),
      { numRuns: 25 },
    )
  })

  test('what layers hold together covers all that they do not take from below', async () => {
    const files = await makeFiles([BASE, CHILD, LEAF])
    const disk = await open(files)
    const layers = [disk, await open(files.slice(0, 2))]
    const held = Buffer.alloc(SIZE)
    for (const { offset, length } of await collect(heldByLayers(layers))) held.fill(1, offset, offset + length)
    const [above, below] = [await contentOf(files), await contentOf(files.slice(0, 1))]
    for (let at = 0; at < SIZE; at += 512) {
      if (above.compare(below, at, at + 512, at, at + 512) !== 0) expect(held[at]).toBe(1)
    }
  })
})

/** Devices whose moments are those of all of them, by the same index. */
function recordTogether(files: readonly SparseFile[], options: ConstructorParameters<typeof RecordingDevice>[1]) {
  const devices = files.map(file => new RecordingDevice(file.copy(), options))
  const mark = () => {
    for (const device of devices) RecordingDevice.prototype.mark.call(device)
  }
  for (const device of devices) device.mark = mark
  return devices
}

const CHAINS: readonly (readonly [string, Layers, number])[] = [
  ['a child into its parent', [BASE, CHILD], 0],
  ['two into their parent', [BASE, CHILD, LEAF], 0],
  ['into a child', [BASE, CHILD, LEAF], 1],
  ['a larger disk', [{ ...BASE, virtualSize: 2 * MiB + 4096, blocks: new Map([whole(1)]) }, CHILD], 0],
]

describe('the power is cut', () => {
  test.each(CHAINS)('while merging %s: the child is what it was, and the merge goes on', async (name, layers, into) => {
    const files = await makeFiles(layers)
    const before = await contentOf(files)
    const random = new Random(name)
    const devices = recordTogether(files, { random })
    await merge(devices, into)
    const moments = devices[0]!.moments.map((_, index) => devices.map(device => device.moments[index]!))
    const verify = async (cut: (moment: Moment) => SparseFile, index: number, goesOn: boolean) => {
      const now = moments[index]!.map(cut)
      const { linkage, linkage2 } = await linkOf(now[into + 1]!)
      expect([linkage, linkage2]).toContain(await idOf(now[into]!))
      if (!(await contentOf(now)).equals(before)) expect.fail(`the disk is another one at moment ${index}`)
      for (const file of [now[into]!, now[into + 1]!]) await expectSound(file, true)
      if (!goesOn) return
      await merge(now, into)
      expect((await contentOf(now.slice(0, into + 1))).equals(before)).toBe(true)
      expect((await contentOf(now)).equals(before)).toBe(true)
      for (const file of now) await expectSound(file)
    }
    for (const index of moments.keys()) await verify(afterAll, index, index % 8 === 0)
    for (let n = 0; n < 120; n++) {
      await verify(moment => afterSome(moment, random), random.below(moments.length), n % 8 === 0)
    }
  })
})

describe('a request fails', () => {
  test.each(CHAINS.slice(0, 2))(
    'while merging %s: it is told, the child is what it was, and the merge goes on',
    async (name, layers, into) => {
      const files = await makeFiles(layers)
      const before = await contentOf(files)
      let count = 0
      await merge(recordTogether(files, { fault: () => void count++ }), into)
      for (let failing = 1; failing <= count; failing += 1 + Math.floor(count / 30)) {
        let left = failing
        const isFull = failing % 2 === 0
        const devices = recordTogether(files, {
          fault: operation => {
            left--
            // A cable that was pulled stays pulled; on a medium that is full there is no room for more.
            const fails = left <= 0 && (!isFull || operation === 'write' || operation === 'resize')
            if (fails) throw new StorageError(isFull ? 'NO_SPACE' : 'DEVICE_GONE', `${name} ${failing}`)
          },
        })
        const outcome = await merge(devices, into).then(
          () => 'done',
          error => error.code,
        )
        // The last requests are flushes.
        if (failing < count - 4) expect(outcome).toBe(isFull ? 'NO_SPACE' : 'DEVICE_GONE')
        const now = devices.map(({ content }) => content)
        expect((await contentOf(now)).equals(before)).toBe(true)
        await merge(now, into)
        expect((await contentOf(now.slice(0, into + 1))).equals(before)).toBe(true)
        for (const file of now) await expectSound(file)
      }
    },
  )

  test('and where it is stopped', async () => {
    const files = await makeFiles([BASE, CHILD])
    const before = await contentOf(files)
    const controller = new AbortController()
    const stopped = merge(files, 0, {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('stopped')),
    })
    await expect(stopped).rejects.toThrow('stopped')
    expect((await contentOf(files)).equals(before)).toBe(true)
    for (const file of files) await expectSound(file, true)
    await merge(files)
    expect((await contentOf(files.slice(0, 1))).equals(before)).toBe(true)
  })
})
