/** The program as it is installed, run on Windows: Node for Windows under wine stands for it. */
import { readdir, truncate } from 'node:fs/promises'
import { expect } from 'vitest'
import { openDisk } from '../../lib/image/open-disk.ts'
import { vhdxJson } from '../helpers/cli.ts'
import { sha256 } from '../helpers/corpus.ts'
import { buildDisk, diskTools, fat, fillNtfs, ntfs, writeFiles } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { installInto } from '../helpers/installed.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith, run } from '../helpers/tools.ts'
import { testOnWindows, windowsMachine } from '../helpers/wine.ts'

const MiB = 1024 ** 2

/** The hash of the disk in an image. */
async function diskHash(image: string): Promise<string> {
  await using opened = await openDisk(image)
  return await sha256(opened.disk)
}

describeWith([...diskTools, 'qemu-img'], 'the program on Windows', () => {
  const ANY = [0, 1, 2, 3, 4, 5]

  /** Installs the program and starts a machine with `disks`, on which `vhdx` runs in `folder`. */
  async function start(folder: Scratch, disks: Readonly<Record<string, string>>) {
    const bin = await installInto(folder.path('installed'))
    const machine = await windowsMachine(disks)
    const vhdx = (...args: string[]) => machine.node(bin, args, { cwd: folder.folder, exitCodes: ANY })
    return { vhdx, [Symbol.asyncDispose]: () => machine[Symbol.asyncDispose]() }
  }

  testOnWindows('captures a physical disk as it is captured elsewhere, and checks and verifies the image', async () => {
    await using folder = await scratch()
    const disk = folder.path('disk.raw')
    await buildDisk(disk, {
      size: 96 * MiB,
      table: 'gpt',
      partitions: [
        {
          size: 32 * MiB,
          type: 'ef00',
          content: [fat({ bits: 16, files: { 'EFI/Boot/bootx64.efi': pattern(99_999) } })],
        },
        { type: '0700', content: [ntfs({ label: 'Windows' }), fillNtfs(writeFiles)] },
      ],
    })
    await using machine = await start(folder, { physicaldrive0: disk })
    const drive = '\\\\.\\PhysicalDrive0'

    const refused = await machine.vhdx('capture', drive, 'out.vhdx')
    expect([refused.exitCode, refused.stdout]).toEqual([1, ''])
    expect(refused.stderr).toContain('MOUNTED_READ_WRITE')

    const captured = await machine.vhdx('capture', drive, 'out.vhdx', '--force', '--json')
    expect(captured.exitCode).toBe(0)
    const summary = JSON.parse(captured.stdout.trim().split('\n').at(-1)!)
    await vhdxJson('capture', disk, folder.path('here.vhdx'))
    expect(await diskHash(folder.path('out.vhdx'))).toBe(await diskHash(folder.path('here.vhdx')))
    expect(summary).toMatchObject({ type: 'summary', warnings: [{ code: 'MOUNTED_READ_WRITE' }], leftOut: [] })
    await run('qemu-img', ['check', folder.path('out.vhdx')])

    const info = JSON.parse((await machine.vhdx('info', drive, '--json')).stdout)
    expect(info).toMatchObject({
      virtualSize: 96 * MiB,
      partitions: [{ fileSystem: 'FAT16' }, { fileSystem: 'NTFS', label: 'Windows' }],
    })
    expect(await machine.vhdx('check', 'out.vhdx', '--quiet')).toMatchObject({ exitCode: 0, stderr: '' })
    const verified = await machine.vhdx('verify', 'out.vhdx', '--against', drive, '--quiet')
    expect(verified).toMatchObject({ exitCode: 0, stderr: '' })
    expect((await machine.vhdx('capture', drive, 'out.vhdx')).exitCode).toBe(1)
    expect((await readdir(folder.folder)).sort()).toEqual(['disk.raw', 'here.vhdx', 'installed', 'out.vhdx'])
  })

  testOnWindows('captures a volume with its last sector, which Windows does not show', async () => {
    await using folder = await scratch()
    const volume = folder.path('volume.raw')
    await buildDisk(volume, {
      size: 32 * MiB,
      table: 'none',
      partitions: [{ type: '0700', content: [ntfs(), fillNtfs(writeFiles)] }],
    })
    await vhdxJson('capture', volume, folder.path('whole.vhdx'))
    await truncate(volume, 32 * MiB - 512)
    await using machine = await start(folder, { 'x:': volume })
    const captured = await machine.vhdx('capture', '\\\\.\\X:', 'out.vhdx', '--force', '--quiet')
    expect([captured.stderr, captured.exitCode]).toEqual(['', 0])
    expect(await diskHash(folder.path('out.vhdx'))).toBe(await diskHash(folder.path('whole.vhdx')))
  })
})
