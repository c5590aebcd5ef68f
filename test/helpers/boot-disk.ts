/** Disks that boot: GRUB starts from them and prints a file of their NTFS volume on the serial line. */
import { spawn } from 'node:child_process'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buildDisk, fat, fillNtfs, leaveStale, ntfs, type Place, putBytes, writeFiles } from './disks.ts'
import { scratch } from './folders.ts'
import { run } from './run.ts'
import { FILES, type Need } from './tools.ts'

const MiB = 1024 ** 2
const SECTOR = 512

/** What the machine has to say on its serial line: it stands in a file of the NTFS volume, and nowhere else. */
export const GREETING = 'This line was read from NTFS by GRUB.'

/** `search` finds the volume by the file, whatever number the disk and the partition have. */
const GRUB_CONFIG = `
serial --unit=0 --speed=115200
terminal_output serial
search.file /greeting.txt root
cat /greeting.txt
`
const GRUB_MODULES = ['ntfs', 'serial', 'terminal', 'search', 'search_fs_file', 'cat']

export type Firmware = 'uefi' | 'bios'

/** What `buildBootDisk` and `bootAndListen` need. */
export const bootTools: Readonly<Record<Firmware, readonly Need[]>> = {
  uefi: ['grub-mkstandalone', 'grub-efi', 'qemu-system-x86_64', 'ovmf'],
  bios: ['grub-mkimage', 'grub-pc', 'qemu-system-x86_64'],
}

/** A new disk that boots with the firmware: GPT with an ESP for UEFI, MBR for BIOS. Returns its partitions. */
export async function buildBootDisk(path: string, firmware: Firmware): Promise<Place[]> {
  const greet = fillNtfs(folder => writeFile(join(folder, 'greeting.txt'), `${GREETING}\n`))
  const windows = [ntfs({ label: 'Windows' }), fillNtfs(leaveStale), fillNtfs(writeFiles), greet]
  if (firmware === 'uefi') {
    const files = { 'EFI/Boot/bootx64.efi': await grubForUefi() }
    return buildDisk(path, {
      size: 112 * MiB,
      table: 'gpt',
      partitions: [
        { size: 40 * MiB, type: 'ef00', name: 'EFI system partition', content: [fat({ bits: 32, files })] },
        { size: 16 * MiB, type: '0c01', name: 'Microsoft reserved partition' },
        { type: '0700', name: 'Basic data partition', content: windows },
      ],
    })
  }
  const places = await buildDisk(path, {
    size: 64 * MiB,
    table: 'mbr',
    partitions: [{ type: '07', active: true, content: windows }],
  })
  // GRUB's first sector, up to the disk signature, loads its second from sector 1, and that the rest from behind it.
  const wholeDisk = { path, offset: 0, length: 64 * MiB, sectorSize: SECTOR }
  await putBytes(0, (await readFile(FILES['grub-pc'].path)).subarray(0, 440))(wholeDisk)
  await putBytes(SECTOR, await grubForBios())(wholeDisk)
  return places
}

async function grubForUefi(): Promise<Buffer> {
  await using folder = await scratch()
  const [config, image] = [folder.path('grub.cfg'), folder.path('bootx64.efi')]
  await writeFile(config, GRUB_CONFIG)
  const modules = ['normal', 'part_gpt', ...GRUB_MODULES].join(' ')
  const only = [`--modules=${modules}`, `--install-modules=${modules}`, '--locales=', '--fonts=', '--themes=']
  await run('grub-mkstandalone', ['-O', 'x86_64-efi', '-o', image, ...only, `boot/grub/grub.cfg=${config}`])
  return readFile(image)
}

async function grubForBios(): Promise<Buffer> {
  await using folder = await scratch()
  const [config, image] = [folder.path('grub.cfg'), folder.path('core.img')]
  await writeFile(config, GRUB_CONFIG)
  const modules = ['biosdisk', 'part_msdos', ...GRUB_MODULES]
  await run('grub-mkimage', ['-O', 'i386-pc', '-p', '/boot/grub', '-c', config, '-o', image, ...modules])
  const core = await readFile(image)
  if (core.length > MiB - SECTOR) throw new Error(`GRUB's ${core.length} bytes do not fit before the first partition`)
  return core
}

/**
 * Boots a disk image in QEMU, without acceleration and without changing the image, until `text` is on the serial line.
 * Throws with all that was there when it does not come.
 */
export async function bootAndListen(
  image: string,
  format: 'raw' | 'vhdx',
  firmware: Firmware,
  text = GREETING,
  timeout = 90_000,
): Promise<void> {
  await using folder = await scratch()
  const drive = `file=${image},format=${format},if=none,id=disk,snapshot=on`
  const machine = [
    '-machine',
    'q35',
    '-accel',
    'tcg',
    '-m',
    '256',
    '-nodefaults',
    '-display',
    'none',
    '-serial',
    'stdio',
  ]
  const disk = ['-drive', drive, '-device', 'ide-hd,drive=disk,bus=ide.0,bootindex=0']
  const qemu = spawn('qemu-system-x86_64', [
    ...machine,
    ...(firmware === 'uefi' ? await ovmf(folder.folder) : []),
    ...disk,
  ])
  const said = new Promise<string>((resolve, reject) => {
    let heard = ''
    const hear = (chunk: Buffer) => {
      heard += chunk.toString('latin1')
      if (heard.includes(text)) resolve(heard)
    }
    qemu.stdout.on('data', hear)
    qemu.stderr.on('data', hear)
    qemu.on('error', reject)
    qemu.on('exit', code => reject(new Error(`qemu ended with ${code} before it said '${text}':\n${heard}`)))
    setTimeout(() => reject(new Error(`after ${timeout} ms the serial line has only:\n${heard}`)), timeout).unref()
  })
  await said.finally(() => qemu.kill('SIGKILL'))
}

/** The firmware in flash, with a copy of its empty variables that it may write. */
async function ovmf(folder: string): Promise<string[]> {
  const variables = join(folder, 'vars.fd')
  await copyFile(FILES.ovmf.path.replace('CODE', 'VARS'), variables)
  return [
    ...['-drive', `if=pflash,format=raw,readonly=on,file=${FILES.ovmf.path}`],
    ...['-drive', `if=pflash,format=raw,file=${variables}`],
  ]
}
