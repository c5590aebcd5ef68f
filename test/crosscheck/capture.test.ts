/** A captured disk, opened by other programs: they find every file as it was, and nothing that was deleted. */
import { createHash } from 'node:crypto'
import { open, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDisk } from '../../lib/image/open-disk.ts'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { sha256 } from '../helpers/corpus.ts'
import {
  buildDisk,
  countStale,
  diskTools,
  exfat,
  fat,
  fillNtfs,
  hashFile,
  hashNtfs,
  leaveStale,
  ntfs,
  type Place,
  STALE,
  withLoop,
  writeFiles,
} from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith, run, testWith } from '../helpers/tools.ts'
import { withVhdi } from '../helpers/vhdi.ts'

const MiB = 1024 ** 2
const PAGE_FILE = 2 * MiB

/** What capture leaves out: it has to be there, as large as it was, and read as zeros. */
const writePageFile = (folder: string) => writeFile(join(folder, 'pagefile.sys'), Buffer.alloc(PAGE_FILE, STALE))
const systemFiles = { 'EFI/Boot/bootx64.efi': pattern(300_000), 'EFI/Microsoft/Boot/BCD': pattern(20_000, 7) }

/** The first bytes that are neither those of `source` nor zeros: whatever they are, they have no business there. */
async function firstForeignSector(source: string, copy: string): Promise<number | undefined> {
  const [a, b] = await Promise.all([open(source), open(copy)])
  try {
    const { size } = await a.stat()
    const [theirs, ours, zeros] = [Buffer.alloc(MiB), Buffer.alloc(MiB), Buffer.alloc(512)]
    for (let offset = 0; offset < size; offset += MiB) {
      await Promise.all([a.read(theirs, 0, MiB, offset), b.read(ours, 0, MiB, offset)])
      for (let at = 0; at < Math.min(MiB, size - offset); at += 512) {
        const sector = ours.subarray(at, at + 512)
        if (!sector.equals(theirs.subarray(at, at + 512)) && !sector.equals(zeros)) return offset + at
      }
    }
    return undefined
  } finally {
    await Promise.all([a.close(), b.close()])
  }
}

for (const sectorSize of [512, 4096] as const) {
  describeWith(diskTools, `a captured GPT disk with sectors of ${sectorSize}`, () => {
    let folder: Scratch
    let [disk, image] = ['', '']
    let places: Place[]
    // biome-ignore lint/suspicious/noExplicitAny: the JSON of a command.
    let summary: any

    beforeAll(async () => {
      folder = await scratch()
      ;[disk, image] = [folder.path('disk.raw'), folder.path('image.vhdx')]
      const files = [ntfs({ label: 'Windows' }), fillNtfs(leaveStale), fillNtfs(writeFiles), fillNtfs(writePageFile)]
      places = await buildDisk(disk, {
        size: 224 * MiB,
        table: 'gpt',
        sectorSize,
        partitions: [
          { size: 64 * MiB, type: 'ef00', name: 'EFI', content: [fat({ bits: 16, files: systemFiles })] },
          { size: 16 * MiB, type: '0c01' },
          { size: 96 * MiB, type: '0700', content: files },
          { size: 20 * MiB, type: '0700', content: [exfat()] },
          { type: '2700', content: [ntfs({ label: 'Recovery', clusterSize: sectorSize })] },
        ],
      })
      summary = await vhdxJson('capture', disk, image)
    })
    afterAll(() => folder[Symbol.asyncDispose]())

    test('says what it did', async () => {
      expect(summary.type).toBe('summary')
      expect(summary.leftOut).toMatchObject([{ path: '\\pagefile.sys', reason: 'pagefile', bytes: PAGE_FILE }])
      expect(summary.warnings).toEqual([])
      expect(summary.bytesRead).toBeLessThan(60 * MiB)
    })

    test('is a dense file of whole MiB', async () => {
      const { size, blocks } = await stat(image)
      expect(size % MiB).toBe(0)
      expect(size).toBe(summary.bytesWritten)
      expect(blocks * 512).toBeGreaterThanOrEqual(size)
    })

    test('holds nothing that was deleted', async () => {
      expect(await countStale(disk)).toBeGreaterThan(10_000)
      expect(await countStale(image)).toBe(0)
    })

    test('passes our own check and verify', async () => {
      expect(await vhdx(['check', image])).toMatchObject({ exitCode: 0 })
      expect(await vhdx(['verify', image])).toMatchObject({ exitCode: 0 })
      expect(await vhdx(['verify', image, '--against', disk])).toMatchObject({ exitCode: 0 })
    })

    /** What has to be true of the whole disk, whoever took it out of the image. */
    async function expectSameDisk(copy: string): Promise<void> {
      expect(await firstForeignSector(disk, copy)).toBeUndefined()
      const [system, , data, card, recovery] = places.map(place => ({ ...place, path: copy }))
      for (const [path, content] of Object.entries(systemFiles)) {
        await run('mcopy', ['-n', '-i', `${copy}@@${system!.offset}`, `::${path}`, folder.path('system file')])
        expect((await readFile(folder.path('system file'))).equals(content)).toBe(true)
      }
      const zeros = createHash('sha256').update(Buffer.alloc(PAGE_FILE)).digest('hex')
      const expected = { ...(await hashNtfs(places[2]!)), 'pagefile.sys': `${PAGE_FILE} ${zeros}` }
      expect(await hashNtfs(data!)).toEqual(expected)
      await withLoop(card!, device => run('fsck.exfat', ['-n', device]), true)
      expect(await hashNtfs(recovery!)).toEqual(await hashNtfs(places[4]!))
    }

    // qemu knows sectors of 512 bytes only.
    if (sectorSize === 512) {
      testWith(['qemu-img'], 'ours → qemu-img check and convert', async () => {
        expect((await run('qemu-img', ['check', image])).stdout).toContain('No errors were found')
        await run('qemu-img', ['convert', '-O', 'raw', image, folder.path('by qemu')])
        await expectSameDisk(folder.path('by qemu'))
      })
    }

    testWith(['7zz'], 'ours → 7-Zip: tested, and taken out whole', async () => {
      expect((await run('7zz', ['t', image])).stdout).toContain('Everything is Ok')
      await run('sh', ['-c', '7zz e -tVHDX -so "$1" >"$2"', 'sh', image, folder.path('by 7-Zip')])
      await expectSameDisk(folder.path('by 7-Zip'))
    })

    testWith(['vhdiinfo', 'vhdimount'], 'ours → libvhdi: the size, and every byte as our reader has it', async () => {
      const { stdout } = await run('vhdiinfo', [image])
      expect(stdout).toMatch(/Disk type\s*: Dynamic/)
      expect(stdout).toContain(`(${224 * MiB} bytes)`)
      expect(stdout).toMatch(new RegExp(`Bytes per sector\\s*: ${sectorSize} bytes`))
      await using opened = await openDisk(image)
      expect(await withVhdi(image, hashFile)).toBe(await sha256(opened.disk))
    })
  })
}
