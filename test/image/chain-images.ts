/** Small images of both formats that are children of each other, and the disks that they make. */
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { FULLY_PRESENT, PARTIALLY_PRESENT } from '../../lib/vhdx/format.ts'
import { readVhdxIdentity } from '../../lib/vhdx/identity.ts'
import { pattern } from '../helpers/pattern.ts'
import { makeDynamic } from '../vhd/make-vhd.ts'
import { diskOf, type Layer, makeLayer } from '../vhdx/differencing-image.ts'

export const SIZE = 3 * MiB

/** An image file, and the disk that opening it with its parents has to give. */
export interface Made {
  readonly file: Buffer
  readonly disk: Buffer
  readonly id: string
}

/** The paths of a parent: `relative_path` and the like in VHDX, platform codes in VHD. */
export type Paths = Readonly<Record<string, string>>

/** A VHDX of 3 MiB: block 0 on its own, or sectors of blocks 0 and 1 over `parent`. `changes`: to its plan. */
export async function vhdx(parent?: Made, paths: Paths = {}, changes: Partial<Layer> = {}): Promise<Made> {
  const written = parent ? [{ offset: 4096, length: 512 }] : [{ offset: 0, length: MiB }]
  const layer: Layer = {
    virtualSize: SIZE,
    blockSize: MiB,
    blocks: new Map([
      [0, { state: parent ? PARTIALLY_PRESENT : FULLY_PRESENT, written }],
      [1, { state: FULLY_PRESENT, written: [{ offset: MiB, length: 8192 }] }],
    ]),
    ...(parent ? { locator: { parent_linkage: `{${parent.id}}`, ...paths }, seed: 100 } : {}),
    ...changes,
  }
  const device = new MemoryDevice(0, { growable: true })
  await makeLayer(device, layer)
  const { header } = await readVhdxIdentity(device)
  return { file: device.content, disk: diskOf(layer, parent?.disk), id: header.dataWriteGuid }
}

let made = 0

/** The same as a VHD. `timestamp`: when its parent's file was last changed. */
export function vhd(parent?: Made, paths: Paths = {}, timestamp = 0, size = SIZE): Made {
  const id = `00000000-0000-4000-8000-${String(++made).padStart(12, '0')}`
  const block = pattern(MiB, made)
  const disk = Buffer.alloc(size)
  parent?.disk.copy(disk)
  block.copy(disk, 0, 0, parent ? 512 : MiB)
  const file = makeDynamic({
    size,
    blockSize: MiB,
    uniqueId: id,
    blocks: { 0: parent ? { content: block, sectors: [0] } : { content: block } },
    ...(parent ? { parent: { uniqueId: parent.id, timestamp, locators: paths } } : {}),
  })
  return { file, disk, id }
}
