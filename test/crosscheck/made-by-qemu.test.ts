/** Images that qemu made, read and checked by us. */
import { expect } from 'vitest'
import { openDisk } from '../../lib/image/open-disk.ts'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { sha256 } from '../helpers/corpus.ts'
import { buildDisk, fat, hashFile, putBytes } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { run, testWith } from '../helpers/tools.ts'

const MiB = 1024 ** 2

/** What check has to say of qemu's files: its region tables require nothing, and it leaves holes. */
const QEMU_WARNINGS = ['FILE_SPARSE', 'REGION_NOT_REQUIRED']

/** The rules that an image bends, all of which have to be warnings. */
async function warningsIn(image: string): Promise<string[]> {
  const { exitCode, stdout } = await vhdx(['check', image, '--json'])
  expect(exitCode).toBe(3)
  return Object.keys(JSON.parse(stdout).summary.counts).sort()
}

for (const subformat of ['dynamic', 'fixed']) {
  for (const blockSize of [1, 8, 256]) {
    testWith(['qemu-img'], `qemu-img → ours: ${subformat}, blocks of ${blockSize} MiB`, async () => {
      await using folder = await scratch()
      const [disk, image] = [folder.path('disk.raw'), folder.path('image.vhdx')]
      await run('qemu-img', ['create', '-f', 'raw', disk, `${70 * MiB + 512}`])
      const whole = { path: disk, offset: 0, length: 70 * MiB + 512, sectorSize: 512 }
      for (const offset of [0, 8 * MiB - 5, 33 * MiB, 70 * MiB - 100]) {
        await putBytes(offset, pattern(612, offset))(whole)
      }
      const options = `subformat=${subformat},block_size=${blockSize * MiB}`
      await run('qemu-img', ['convert', '-O', 'vhdx', '-o', options, disk, image])

      await using opened = await openDisk(image)
      expect(await sha256(opened.disk)).toBe(await hashFile(disk))
      expect(await vhdxJson('info', image)).toMatchObject({
        format: 'vhdx',
        type: subformat,
        virtualSize: 70 * MiB + 512,
        blockSize: blockSize * MiB,
        logicalSectorSize: 512,
      })
      // qemu's fixed images lack the blocks of zeros, of which there are none when the whole disk is one block.
      const lacking = subformat === 'fixed' && blockSize < 70 ? ['FIXED_NOT_ALLOCATED'] : []
      expect(await warningsIn(image)).toEqual([...QEMU_WARNINGS, ...lacking].sort())
    })
  }
}

testWith(
  ['qemu-img', 'mkfs.fat', 'mcopy', 'loop'],
  'qemu-img → ours: what qemu always writes is said of the image, not of its files',
  async () => {
    await using folder = await scratch()
    const [disk, image] = [folder.path('disk.raw'), folder.path('image.vhdx')]
    const content = [fat({ bits: 12, files: { 'file.txt': 'content' } })]
    await buildDisk(disk, { size: 8 * MiB, table: 'none', partitions: [{ type: '', content }] })
    await run('qemu-img', ['convert', '-O', 'vhdx', disk, image])
    expect(await vhdx(['ls', image])).toMatchObject({ exitCode: 0, stdout: 'file.txt\n', stderr: '' })
    expect(await vhdx(['cat', image, '/file.txt'])).toMatchObject({ exitCode: 0, stdout: 'content', stderr: '' })
    const { findings } = await vhdxJson('info', image)
    expect(findings.map(({ code }: { code: string }) => code)).toEqual(['REGION_NOT_REQUIRED', 'REGION_NOT_REQUIRED'])
  },
)

/** qemu writes its log and replays it at once, so that what it leaves is clean; the BAT grows in no order. */
testWith(['qemu-img', 'qemu-io'], 'qemu-io → ours: written here and there, around the ends of chunks', async () => {
  await using folder = await scratch()
  const [disk, image] = [folder.path('disk.raw'), folder.path('image.vhdx')]
  const size = `${9 * 1024 * MiB}`
  await run('qemu-img', ['create', '-f', 'vhdx', '-o', `block_size=${MiB}`, image, size])
  await run('qemu-img', ['create', '-f', 'raw', disk, size])
  // A chunk of blocks of 1 MiB ends at 4 GiB.
  const places = [8192, 4095, 0, 4096, 9215, 4097, 1].map(block => `${block}M`)
  const writes = places.flatMap((place, i) => ['-c', `write -P ${i + 1} ${place} 64k`])
  for (const [format, path] of Object.entries({ vhdx: image, raw: disk })) {
    await run('qemu-io', ['-f', format, ...writes, path])
  }
  const compared = await vhdx(['verify', image, '--against', disk])
  expect(compared).toMatchObject({ exitCode: 0 })
  expect(await warningsIn(image)).toEqual(QEMU_WARNINGS)
})
