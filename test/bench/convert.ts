/** A disk in one form to the same disk in another, beside qemu-img and a plain copy of as many bytes. */
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { formatSize, parseSize } from '../../lib/binary/size.ts'
import { run } from '../helpers/run.ts'
import { realDisk } from './bench-disk.ts'
import { type Program, printRace, race } from './measure.ts'
import type { Settings } from './settings.ts'

/** qemu-img's formats, with what makes it write what ours does: `-S 0` a raw disk without holes. */
const CONVERSIONS = [
  { to: 'vhdx', name: 'x.vhdx', qemu: ['-O', 'vhdx'] },
  { to: 'vhd', name: 'x.vhd', qemu: ['-O', 'vpc', '-o', 'force_size=on'] },
  { to: 'raw', name: 'x.raw', qemu: ['-O', 'raw', '-S', '0'] },
] as const

export async function benchConvert({ vhdx, path, data, files, rounds }: Settings): Promise<void> {
  const disk = path(`disk-${data}-${files}.raw`)
  await realDisk(disk, { data: parseSize(data), files })
  const image = path(`image-${data}-${files}.vhdx`)
  if (!existsSync(image)) await run('node', [vhdx, 'convert', disk, image, '--quiet'], { timeout: 600_000 })
  for (const { to, name, qemu } of CONVERSIONS) {
    // From raw to an image, and from that image to the others.
    const [source, format] = to === 'vhdx' ? [disk, 'raw'] : [image, 'vhdx']
    const output = path(name)
    const plan = await run('node', [vhdx, 'convert', source, output, '--dry-run', '--json'])
    const bytes = JSON.parse(plan.stdout).expectedSize
    const program = (name: string, ...command: readonly string[]): Program => ({ name, input: source, output, command })
    const programs = [
      program('vhdx convert', 'node', vhdx, 'convert', source, output, '--quiet'),
      program(
        `qemu-img convert -W -m 16 ${qemu.join(' ')}`,
        'qemu-img',
        'convert',
        ...['-f', format],
        ...qemu,
        '-W',
        '-m',
        '16',
        source,
        output,
      ),
      ddOf(disk, output, bytes, 'direct'),
      ddOf(disk, output, bytes),
    ]
    const title = `Converting ${format} to ${to}: a disk of ${formatSize((await stat(disk)).size)}, ${formatSize(bytes)} at most`
    printRace(title, await race(programs, rounds), bytes)
  }
}

/** As many bytes of the disk, as they come. */
function ddOf(disk: string, output: string, bytes: number, flag?: string): Program {
  const how = flag === undefined ? [] : [`oflag=${flag}`]
  const name = `dd ${[...how, 'conv=fsync'].join(' ')} of as many bytes`
  const count = `count=${Math.floor(bytes / (4 * 1024 ** 2))}`
  return {
    name,
    input: disk,
    output,
    command: ['dd', `if=${disk}`, `of=${output}`, 'bs=4M', count, ...how, 'conv=fsync'],
  }
}
