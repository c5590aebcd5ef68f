/** Images to write to, of every kind: what tests of writing begin with. */
import { MiB } from '../../lib/binary/size.ts'
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { type Layer, type LayerBlock, locatorOf, makeLayer } from './differencing-image.ts'

/** From the base on: each but the first is the child of the one before. */
export type Layers = readonly Omit<Layer, 'locator'>[]

export interface WritableChain {
  /** The file of the last image. */
  readonly file: SparseFile
  /** The disk of the one before. */
  readonly parent: BlockDevice | undefined
}

export async function makeChain(layers: Layers): Promise<WritableChain> {
  let below: { file: SparseFile; disk: VhdxDevice } | undefined
  for (const layer of layers.slice(0, -1)) {
    const file = await fileOf(layer, below?.file)
    below = { file, disk: await VhdxDevice.open(file, { parent: below?.disk }) }
  }
  return { file: await fileOf(layers.at(-1)!, below?.file), parent: below?.disk }
}

async function fileOf(layer: Layers[number], parent: SparseFile | undefined): Promise<SparseFile> {
  const file = new SparseFile()
  const locator = parent && (await locatorOf(parent, { relative_path: 'parent.vhdx' }))
  await makeLayer(file, locator === undefined ? layer : { ...layer, locator })
  return file
}

/** Each kind of image with each state of a block in it: three blocks and a part of one. */
export function layersOfEveryKind(logicalSectorSize: number, blockSize = MiB): ReadonlyMap<string, Layers> {
  const virtualSize = 3 * blockSize + 24 * 4096
  const sizes = { virtualSize, blockSize, logicalSectorSize, physicalSectorSize: 4096 }
  const whole = (block: number): [number, LayerBlock] => {
    const offset = block * blockSize
    // The rest of a large block stays a hole.
    return [block, { state: 6, written: [{ offset, length: Math.min(MiB, virtualSize - offset) }] }]
  }
  const part = (block: number): [number, LayerBlock] => [
    block,
    { state: 7, written: [{ offset: block * blockSize + 5 * 4096, length: 9 * 4096 }] },
  ]
  const without = (block: number, state: number): [number, LayerBlock] => [block, { state }]
  const layer = (seed: number, ...blocks: [number, LayerBlock][]) => ({ ...sizes, seed, blocks: new Map(blocks) })
  return new Map([
    ['dynamic, empty', [layer(0)]],
    ['dynamic', [layer(0, whole(3), without(1, 2), whole(0), without(2, 3))]],
    ['fixed', [{ ...layer(0, whole(0), whole(1), whole(2), whole(3)), fixed: true }]],
    ['differencing', [layer(0, whole(0), whole(1), whole(2)), layer(101, part(1), without(2, 2))]],
    [
      'differencing, two deep',
      [
        layer(0, whole(0), whole(1), whole(2), whole(3)),
        layer(101, part(0), whole(1), without(2, 2)),
        layer(202, part(1), part(3)),
      ],
    ],
  ])
}
