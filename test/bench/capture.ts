/** A capture beside the programs that do the nearest thing. */
import { rm, stat } from 'node:fs/promises'
import { formatSize, parseSize } from '../../lib/binary/size.ts'
import { run } from '../helpers/run.ts'
import { extractVolume, hugeDisk, realDisk } from './bench-disk.ts'
import { measure, median, type Program, printRace, race } from './measure.ts'
import type { Settings } from './settings.ts'

const lastLine = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1)!)

export async function benchCapture({ vhdx, path, data, files, rounds, huge }: Settings): Promise<void> {
  const disk = path(`disk-${data}-${files}.raw`)
  const volume = path(`volume-${data}-${files}.raw`)
  const place = await realDisk(disk, { data: parseSize(data), files })
  await extractVolume(place, volume)

  const plan = lastLine((await run('node', [vhdx, 'capture', disk, path('x.vhdx'), '--dry-run', '--json'])).stdout)
  const blocks = Math.ceil(plan.usedBytes / (4 * 1024 ** 2))
  const ddProgram = (name: string, ...how: readonly string[]): Program => ({
    name,
    input: disk,
    output: path('dd.raw'),
    command: ['dd', `if=${disk}`, `of=${path('dd.raw')}`, 'bs=4M', `count=${blocks}`, ...how, 'conv=fsync'],
  })
  const programs: Program[] = [
    {
      name: 'vhdx capture',
      input: disk,
      output: path('ours.vhdx'),
      command: ['node', vhdx, 'capture', disk, path('ours.vhdx'), '--json'],
    },
    ddProgram('dd of as many bytes'),
    ddProgram('dd oflag=direct of as many bytes', 'oflag=direct'),
    {
      name: 'ntfsclone --save-image (the NTFS volume alone)',
      input: volume,
      output: path('volume.ntfsclone'),
      command: ['ntfsclone', '--save-image', '--output', path('volume.ntfsclone'), volume],
    },
    {
      name: 'partclone.ntfs (the NTFS volume alone)',
      input: volume,
      output: path('volume.partclone'),
      command: ['partclone.ntfs', '-c', '-s', volume, '-o', path('volume.partclone'), '-L', '/dev/null'],
    },
    {
      name: 'qemu-img convert -O vhdx -W -m 16',
      input: disk,
      output: path('qemu.vhdx'),
      command: ['qemu-img', 'convert', '-f', 'raw', '-O', 'vhdx', '-W', '-m', '16', disk, path('qemu.vhdx')],
    },
  ]
  const sizes = `${formatSize((await stat(disk)).size)} disk, ${formatSize(plan.usedBytes)} used in ${files} files`
  printRace(`Capture: ${sizes}`, await race(programs, rounds), plan.usedBytes)
  await benchStart(vhdx)
  if (huge) await benchHuge(vhdx, path)
}

async function benchStart(vhdx: string): Promise<void> {
  const starts: number[] = []
  for (let i = 0; i < 10; i++)
    starts.push((await measure({ output: '', command: ['node', vhdx, '--version'] })).seconds)
  console.log(`\n\`vhdx --version\` as installed: ${(1000 * median(starts)).toFixed(0)} ms`)
}

async function benchHuge(vhdx: string, path: (name: string) => string): Promise<void> {
  const [disk, image] = [path('huge.raw'), path('huge.vhdx')]
  await hugeDisk(disk)
  await rm(image, { force: true })
  const command = ['node', vhdx, 'capture', disk, image, '--json']
  const { seconds, peakMemory } = await measure({ output: image, command })
  const size = formatSize((await stat(image)).size)
  await rm(image)
  console.log(
    `\`vhdx capture\` of a 15 TB disk with a nearly empty NTFS volume: ${seconds.toFixed(1)} s, ${formatSize(peakMemory, 0)} at most, image of ${size}`,
  )
}
