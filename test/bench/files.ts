/** Listing a volume and copying files out of it, beside the programs that do the same. */
import { stat } from 'node:fs/promises'
import { formatSize, parseSize } from '../../lib/binary/size.ts'
import { extractVolume, realDisk, treeVolume } from './bench-disk.ts'
import { type Program, printRace, race } from './measure.ts'
import type { Settings } from './settings.ts'

/** Runs `command` in `$MOUNT`, where ntfs-3g has mounted `volume` for reading. */
function mounted(volume: string, command: string): string[] {
  const script = `set -e
    MOUNT=$(mktemp -d)
    ntfs-3g -o ro,streams_interface=none '${volume}' "$MOUNT"
    trap 'umount "$MOUNT" && rmdir "$MOUNT"' EXIT
    ${command}`
  return ['sh', '-c', script]
}

/** Every name of the volume with its size and times. */
export async function benchList({ vhdx, path, data, files, rounds }: Settings): Promise<void> {
  const volume = path(`volume-${data}-${files}.raw`)
  await extractVolume(await realDisk(path(`disk-${data}-${files}.raw`), { data: parseSize(data), files }), volume)
  const program = (name: string, command: readonly string[]): Program => ({ name, input: volume, output: '', command })
  const programs = [
    program('vhdx ls -R --json', ['node', vhdx, 'ls', '-R', '--json', volume]),
    program('fls -r -l', ['fls', '-r', '-l', volume]),
    program('7zz l', ['7zz', 'l', volume]),
    program('ntfs-3g and find -printf', mounted(volume, `find "$MOUNT" -printf '%p %s %t %a %c\\n'`)),
  ]
  printRace(`Listing a volume of ${files} files`, await race(programs, rounds))
}

/** A folder of many small files, and one large file. */
export async function benchCopyOut({ vhdx, path, rounds }: Settings): Promise<void> {
  const volume = path('tree.raw')
  await treeVolume(volume)
  const target = path('copied')
  for (const [title, name] of [
    ['Copying out 50,000 small files', 'tree'],
    ['Copying out a file of 4 GiB', 'large.bin'],
  ] as const) {
    const program = (name: string, command: readonly string[]): Program => ({
      name,
      input: volume,
      output: target,
      command: ['sh', '-c', `mkdir '${target}' && exec "$@"`, 'sh', ...command],
    })
    const programs = [
      program('vhdx cp -r', ['node', vhdx, 'cp', '-r', '--quiet', volume, `/${name}`, target]),
      program('7zz x', ['7zz', 'x', '-y', '-bd', `-o${target}`, volume, name]),
      program('ntfs-3g and cp -r', mounted(volume, `cp -r --preserve=timestamps "$MOUNT/${name}" '${target}'`)),
    ]
    printRace(`${title}, from a volume of ${formatSize((await stat(volume)).size)}`, await race(programs, rounds))
  }
}
