/** The program as it is installed, run on Windows: Node for Windows under wine stands for it. */
import { copyFile, mkdir, readdir, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { openDisk } from '../../lib/image/open-disk.ts'
import { vhdxJson } from '../helpers/cli.ts'
import { sha256 } from '../helpers/corpus.ts'
import { buildDisk, diskTools, fat, fillNtfs, hashTree, leaveStale, ntfs, writeFiles } from '../helpers/disks.ts'
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

describeWith([...diskTools, 'qemu-img', 'setfattr'], 'the program on Windows', () => {
  const ANY = [0, 1, 2, 3, 4, 5]

  /** Installs the program and starts a machine with `disks`, on which `vhdx` runs in `folder`. */
  async function start(folder: Scratch, disks: Readonly<Record<string, string>>) {
    const bin = await installInto(folder.path('installed'))
    const machine = await windowsMachine(disks)
    // Without it names on Z: are ASCII.
    const options = { cwd: folder.folder, exitCodes: ANY, env: { LC_ALL: 'C.UTF-8' } }
    const vhdx = (...args: string[]) => machine.node(bin, args, options)
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

  testOnWindows('compacts an image, in place and in a copy', async () => {
    await using folder = await scratch()
    await buildDisk(folder.path('disk.raw'), {
      size: 32 * MiB,
      table: 'gpt',
      partitions: [{ type: '0700', content: [ntfs(), fillNtfs(mounted => leaveStale(mounted, 9 * MiB))] }],
    })
    const dense = ['-S', '0', '-O', 'vhdx', '-o', 'block_size=1M']
    await run('qemu-img', ['convert', ...dense, folder.path('disk.raw'), folder.path('image.vhdx')])
    await copyFile(folder.path('image.vhdx'), folder.path('here.vhdx'))
    const { sizeAfter } = await vhdxJson('compact', folder.path('here.vhdx'), '--zero-free')
    await using machine = await start(folder, {})
    for (const args of [['--to', 'copy.vhdx'], []]) {
      const compacted = await machine.vhdx('compact', 'image.vhdx', '--zero-free', '--json', ...args)
      expect(compacted.exitCode).toBe(0)
      expect(JSON.parse(compacted.stdout.trim().split('\n').at(-1)!)).toMatchObject({ contentChanged: true })
    }
    expect((await stat(folder.path('image.vhdx'))).size).toBe(sizeAfter)
    for (const name of ['copy.vhdx', 'image.vhdx']) {
      expect(await diskHash(folder.path(name))).toBe(await diskHash(folder.path('here.vhdx')))
      await run('qemu-img', ['check', folder.path(name)])
    }
  })

  testOnWindows('copies files out, with names that Windows keeps for itself, streams and times', async () => {
    await using folder = await scratch()
    const seconds = 1_100_000_000
    const names = ['CON', 'aux.txt', 'dot.', 'blank ', 'q?', 'Case', 'case', 'Größe und 大小', 'dir./COM1.log', 'plain']
    const fill = async (to: string) => {
      await mkdir(join(to, 'dir.'))
      for (const name of [...names, 'plain:a stream', 'read-only']) await writeFile(join(to, name), name)
      await utimes(join(to, 'plain'), seconds, seconds)
      // FILE_ATTRIBUTE_READONLY and ARCHIVE.
      await run('setfattr', ['-n', 'system.ntfs_attrib_be', '-v', '0x00000021', join(to, 'read-only')])
    }
    await buildDisk(folder.path('disk.raw'), {
      size: 32 * MiB,
      table: 'gpt',
      partitions: [{ type: '0700', content: [ntfs(), fillNtfs(fill)] }],
    })
    await using machine = await start(folder, {})
    const copied = await machine.vhdx('cp', '-r', 'disk.raw', '/', 'out')
    expect(copied).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('11 files, 2 folders, 1 stream copied'),
    })
    expect(copied.stderr).toMatch(/^renamed: \/CON is out\/CON_ here: the target cannot have this name$/m)
    expect(copied.stderr).toMatch(
      /^renamed: \/.ase is out\/.ase \(2\) here: another entry has this name in the target$/m,
    )
    expect(copied.stderr).toMatch(/creation.*hidden and system were not kept/)

    const out = await hashTree(folder.path('out'))
    const second = 'Case (2)' in out ? 'Case' : 'case'
    const inTarget = {
      CON: 'CON_',
      'aux.txt': 'aux_.txt',
      'dot.': 'dot_',
      'blank ': 'blank_',
      'q?': 'q%3F',
      [second]: `${second} (2)`,
      'dir./COM1.log': 'dir_/COM1_.log',
    } as Record<string, string>
    // wine has streams as files of such names.
    const files = [...names, 'plain:a stream', 'read-only'].map(name => [inTarget[name] ?? name, name] as const)
    expect(Object.keys(out).sort()).toEqual(['dir_', ...files.map(([name]) => name)].sort())
    for (const [name, content] of files) expect(await readFile(folder.path(`out/${name}`), 'utf8')).toBe(content)
    expect((await stat(folder.path('out/plain'))).mtimeMs).toBe(1000 * seconds)
    expect((await stat(folder.path('out/read-only'))).mode % 0o1000).toBe(0o444)

    const again = await machine.vhdx('cp', '-r', 'disk.raw', '/', 'out', '--on-conflict', 'skip', '--json')
    expect(JSON.parse(again.stdout.trim().split('\n').at(-1)!)).toMatchObject({ files: 0, errors: 0, skipped: 11 })
    expect(await hashTree(folder.path('out'))).toEqual(out)
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
