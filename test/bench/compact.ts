/** An image that becomes smaller, beside a plain copy of as many bytes as it moves, and qemu-img, which drops zeros only. */
import { existsSync } from 'node:fs'
import { formatSize, parseSize } from '../../lib/binary/size.ts'
import { run } from '../helpers/run.ts'
import { realDisk } from './bench-disk.ts'
import { type Program, printRace, race } from './measure.ts'
import type { Settings } from './settings.ts'

export async function benchCompact({ vhdx, path, data, files, rounds }: Settings): Promise<void> {
  const disk = path(`disk-${data}-${files}.raw`)
  await realDisk(disk, { data: parseSize(data), files })
  const image = path(`image-${data}-${files}.vhdx`)
  if (!existsSync(image)) await run('node', [vhdx, 'convert', disk, image, '--quiet'], { timeout: 600_000 })
  const plan = async (...options: readonly string[]) =>
    JSON.parse(
      (await run('node', [vhdx, 'compact', image, '--dry-run', '--json', ...options])).stdout
        .trim()
        .split('\n')
        .at(-1)!,
    )

  const output = path('compact.vhdx')
  const inPlace = await plan()
  const dd = (bytes: number, ...how: readonly string[]): Program => {
    const [size, count] = ['bs=4M', `count=${Math.ceil(bytes / (4 * 1024 ** 2))}`]
    return {
      name: `dd ${[...how, 'conv=fsync'].join(' ')} of as many bytes`,
      input: image,
      output: path('dd.raw'),
      command: ['dd', `if=${image}`, `of=${path('dd.raw')}`, size, count, ...how, 'conv=fsync'],
    }
  }
  const ours: Program = {
    name: 'vhdx compact',
    input: output,
    output,
    prepare: () => run('cp', ['--reflink=never', image, output], { timeout: 600_000 }),
    command: ['node', vhdx, 'compact', output, '--quiet'],
  }
  const title = ({ sizeBefore, sizeAfter, movedBytes }: typeof inPlace) =>
    `${formatSize(sizeBefore)} to ${formatSize(sizeAfter)}, ${formatSize(movedBytes)} moved`
  printRace(
    `Compacting in place: ${title(inPlace)}`,
    await race([ours, dd(inPlace.movedBytes), dd(inPlace.movedBytes, 'oflag=direct')], rounds),
    inPlace.movedBytes,
  )

  const copied = await plan('--to', output)
  const programs: Program[] = [
    {
      name: 'vhdx compact --to',
      input: image,
      output,
      command: ['node', vhdx, 'compact', image, '--to', output, '--quiet'],
    },
    dd(copied.movedBytes),
    dd(copied.movedBytes, 'oflag=direct'),
    {
      name: 'qemu-img convert -O vhdx -W -m 16',
      input: image,
      output,
      command: ['qemu-img', 'convert', '-f', 'vhdx', '-O', 'vhdx', '-W', '-m', '16', image, output],
    },
  ]
  printRace(`A packed copy: ${title(copied)}`, await race(programs, rounds), copied.movedBytes)
}
