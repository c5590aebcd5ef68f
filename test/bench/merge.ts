/** A child that is merged into its parent, beside plain copies of as many bytes as it holds. */
import { existsSync } from 'node:fs'
import { formatSize, MiB, parseSize } from '../../lib/binary/size.ts'
import { createChild, createImage } from '../../lib/copy/create-image.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { run } from '../helpers/run.ts'
import { type Program, printRace, race } from './measure.ts'
import type { Settings } from './settings.ts'

/** What the child has written: whole blocks, of which every other one is new in the parent too; or pieces of blocks. */
const WRITES = {
  'whole blocks': { length: 4 * MiB, step: 4 * MiB },
  'pieces of 64 KiB': { length: MiB / 16, step: MiB / 4 },
}

export async function benchMerge({ vhdx, path, data, rounds }: Settings): Promise<void> {
  const total = Math.floor(parseSize(data) / 3)
  for (const [name, { length, step }] of Object.entries(WRITES)) {
    const key = `${data}-${length}`
    // Not named like images: a child of the copied parent would keep it from being written to.
    const [base, child] = [path(`merge-${key}.base`), path(`merge-${key}.child`)]
    const size = Math.ceil(total / length) * step
    if (!existsSync(child)) await makePair(base, child, size, { length, step })
    const [parent, leaf] = [path('merge-base.vhdx'), path('merge-child.avhdx')]
    const ours: Program = {
      name: 'vhdx merge',
      input: leaf,
      output: parent,
      prepare: async () => {
        await run('cp', ['--reflink=never', base, parent], { timeout: 600_000 })
        await run('cp', ['--reflink=never', child, leaf], { timeout: 600_000 })
        await run('node', [vhdx, 'relink', leaf, '--parent', parent, '--quiet'])
      },
      command: ['node', vhdx, 'merge', leaf, '--quiet'],
    }
    const title = `Merging ${formatSize(total)} in ${name} into a parent of ${formatSize(size)}`
    printRace(
      title,
      await race([ours, ddOf(child, path('dd.raw'), total, 'direct'), ddOf(child, path('dd.raw'), total)], rounds),
      total,
    )
  }
}

async function makePair(base: string, child: string, size: number, { length, step }: { length: number; step: number }) {
  await createImage(base, { virtualSize: size, force: true })
  const fill = async (path: string, byte: number, length: number, step: number) => {
    await using opened = await openDisk(path, { writable: true, force: true })
    for (let offset = 0; offset < size; offset += step) await opened.disk.write(offset, Buffer.alloc(length, byte))
  }
  await fill(base, 1, 4 * MiB, 8 * MiB)
  await createChild(child, base, { force: true })
  await fill(child, 2, length, step)
}

/** As many bytes of the child's file, as they come. */
function ddOf(input: string, output: string, bytes: number, flag?: string): Program {
  const how = flag === undefined ? [] : [`oflag=${flag}`]
  const count = `count=${Math.ceil(bytes / (4 * MiB))}`
  return {
    name: `dd ${[...how, 'conv=fsync'].join(' ')} of as many bytes`,
    input,
    output,
    command: ['dd', `if=${input}`, `of=${output}`, 'bs=4M', count, ...how, 'conv=fsync'],
  }
}
