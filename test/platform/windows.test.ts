/** Raw disks, volumes and locks on Windows, run for real under wine. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { build } from 'esbuild'
import { expect } from 'vitest'
import { repository, type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { testOnWindows, type WindowsMachine, windowsMachine } from '../helpers/wine.ts'

/** What `code`, the body of an async function with the library's modules for Windows in `lib`, returns on `machine`. */
async function evaluate(machine: WindowsMachine, folder: Scratch, code: string): Promise<unknown> {
  const script = folder.path('script.mjs')
  const modules = [
    'copy/parent-paths',
    'device/file-device',
    'device/file-identity',
    'device/folder',
    'platform/mounts',
    'platform/free-space',
  ]
  await build({
    stdin: {
      contents: `
        ${modules.map((name, i) => `import * as m${i} from './lib/${name}.ts'`).join('\n')}
        const lib = { ${modules.map((_, i) => `...m${i}`).join(', ')} }
        import { rename } from 'node:fs/promises'
        const codeOf = promise => promise.then(() => 'done', error => error.name + ' ' + error.code)
        const run = async () => { ${code} }
        console.log(JSON.stringify(await run()))`,
      resolveDir: repository,
      sourcefile: 'script.ts',
    },
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['fs-ext', 'koffi'],
    logLevel: 'silent',
  })
  return JSON.parse((await machine.node(script, [], { cwd: folder.folder })).stdout)
}

testOnWindows('a physical disk is read to its last byte, and locked for writing', async () => {
  await using folder = await scratch()
  const size = 3 * 2 ** 20 + 512
  await writeFile(folder.path('disk.raw'), pattern(size))
  await using machine = await windowsMachine({ physicaldrive0: folder.path('disk.raw') })
  const result = await evaluate(
    machine,
    folder,
    String.raw`
      const name = '\\\\.\\PhysicalDrive0'
      const device = await lib.FileDevice.open(name)
      const [some, last] = [Buffer.alloc(10), Buffer.alloc(3)]
      await device.read(1021, some)
      await device.read(device.size - 3, last)
      const past = await codeOf((async () => device.read(device.size, last))())
      const { size, sectorSize, raw, readOnly, lock } = device
      const whileRead = await codeOf(lib.FileDevice.open(name, { mode: 'write' }))
      await device.close()

      const writer = await lib.FileDevice.open('//./physicaldrive0', { mode: 'write' })
      await Promise.all([writer.write(1000, Buffer.from('one')), writer.write(1003, Buffer.alloc(2000, 'two'))])
      await writer.flush()
      const whileWritten = await codeOf(lib.FileDevice.open(name))
      const sameName = writer.identity === await lib.fileIdentity(name)
      await writer.close()
      return {
        platform: process.platform, size, sectorSize, raw, readOnly, lock, some: [...some], last: [...last], past,
        whileRead, whileWritten, sameName, live: (await lib.mountedReadWrite(name)).map(({ code }) => code),
        missing: await codeOf(lib.FileDevice.open('\\\\.\\PhysicalDrive9')),
        missingAlias: await codeOf(lib.FileDevice.open('\\\\?\\GLOBALROOT\\Device\\Harddisk9\\Partition0')),
      }
    `,
  )
  expect(result).toEqual({
    platform: 'win32',
    size,
    sectorSize: 512,
    raw: true,
    readOnly: true,
    lock: 'shared',
    some: [...pattern(10, 1021)],
    last: [...pattern(3, size - 3)],
    past: 'OutOfRangeError OUT_OF_RANGE',
    whileRead: 'BusyError IN_USE',
    whileWritten: 'BusyError IN_USE',
    sameName: true,
    live: ['MOUNTED_READ_WRITE'],
    missing: 'NotFoundError NOT_FOUND',
    missingAlias: 'NotFoundError NOT_FOUND',
  })
  const written = pattern(size)
  written.write('one', 1000)
  written.fill('two', 1003, 3003)
  expect((await readFile(folder.path('disk.raw'))).equals(written)).toBe(true)
})

testOnWindows('a volume of NTFS has its last sector, which Windows does not show', async () => {
  await using folder = await scratch()
  const volume = pattern(1000 * 512)
  volume.write('NTFS    ', 3, 'latin1')
  volume.writeUInt16LE(512, 11)
  volume.writeBigUInt64LE(1000n, 40)
  await writeFile(folder.path('volume.raw'), volume)
  await using machine = await windowsMachine({ 'x:': folder.path('volume.raw') })
  const result = await evaluate(
    machine,
    folder,
    String.raw`
      const device = await lib.FileDevice.open('\\\\.\\X:')
      const tail = Buffer.alloc(700)
      await device.read(device.size - 700, tail)
      return { size: device.size, tail: tail.toString('hex') }
    `,
  )
  const tail = Buffer.concat([volume.subarray(-188), volume.subarray(0, 512)]).toString('hex')
  expect(result).toEqual({ size: 1001 * 512, tail })
})

testOnWindows('files are made, locked, renamed and refused as elsewhere', async () => {
  await using folder = await scratch()
  await using machine = await windowsMachine()
  const result = await evaluate(
    machine,
    folder,
    `
      const { open } = lib.FileDevice
      const device = await open('a.bin', { mode: 'create' })
      await device.write(100_000, Buffer.from('end'))
      await device.flush()
      const whileWritten = [await codeOf(open('a.bin')), await codeOf(open('a.bin', { mode: 'write' }))]
      const { size, lock } = device
      await device.close()
      await rename('a.bin', 'b.bin')
      await lib.flushFolder('.')

      const [first, second] = [await open('b.bin'), await open('B.BIN')]
      const whileRead = [await codeOf(open('b.bin', { mode: 'write' })), first.lock, second.lock]
      const sameFile = first.identity === second.identity && first.identity === await lib.fileIdentity('./b.bin')
      const zeros = Buffer.alloc(100_003)
      await second.read(0, zeros)
      const ranges = []
      for await (const range of first.dataRanges()) ranges.push(range)
      const sparse = [await first.isSparse(), await first.allocatedBytes()]
      await first.close()
      await second.close()
      return {
        whileWritten, size, lock, whileRead, sameFile, ranges, sparse: sparse.map(String),
        content: zeros.subarray(0, 100_000).every(byte => byte === 0) && zeros.toString('latin1', 100_000),
        existing: await codeOf(open('b.bin', { mode: 'create' })),
        missing: await codeOf(open('c.bin')),
        folder: await codeOf(open('.')),
        drive: await codeOf(open('Z:')),
        free: await lib.freeSpace('new.vhdx') > 0,
        live: await lib.mountedReadWrite('b.bin'),
      }
    `,
  )
  expect(result).toEqual({
    whileWritten: ['BusyError IN_USE', 'BusyError IN_USE'],
    size: 100_003,
    lock: 'exclusive',
    whileRead: ['BusyError IN_USE', 'shared', 'shared'],
    sameFile: true,
    ranges: [{ offset: 0, length: 100_003 }],
    sparse: ['undefined', 'undefined'],
    content: 'end',
    existing: 'RefusedError FILE_EXISTS',
    missing: 'NotFoundError NOT_FOUND',
    folder: 'UnsupportedError NOT_A_DISK',
    drive: 'UnsupportedError NOT_A_DISK',
    free: true,
    live: [],
  })
})

testOnWindows(
  'a child names its parent by a relative and an absolute path, and none that leads to another drive',
  async () => {
    await using folder = await scratch()
    await mkdir(folder.path('sub'))
    await writeFile(folder.path('sub/parent.vhdx'), '')
    await using machine = await windowsMachine()
    const windows = folder.folder.replaceAll('/', '\\')
    const result = await evaluate(
      machine,
      folder,
      `const here = ${JSON.stringify(`Z:${windows}`)}
      return [
        await lib.pathsToParent(here + '/child.vhdx', here + '/sub/parent.vhdx'),
        await lib.pathsToParent('C:/windows/child.vhdx', here + '/sub/parent.vhdx'),
      ]`,
    )
    // Wine has no mountvol, so no volume is known.
    const absolute = { absolute_win32_path: `\\\\?\\Z:${windows}\\sub\\parent.vhdx` }
    expect(result).toEqual([{ relative_path: '.\\sub\\parent.vhdx', ...absolute }, absolute])
  },
)
