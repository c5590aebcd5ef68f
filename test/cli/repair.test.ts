/** vhdx repair, as users run it. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { vhdx } from '../helpers/cli.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { LOG_GUID } from '../vhdx/log-entries.ts'
import { TestImage } from '../vhdx/test-image.ts'

async function imageIn(folder: Scratch, change: (image: TestImage) => void): Promise<string> {
  const image = await TestImage.make({ virtualSize: 8 * MiB, blockSize: MiB }, [0, 3, 7])
  change(image)
  await writeFile(folder.path('image.vhdx'), image.content)
  return folder.path('image.vhdx')
}

test('mended: exit 0, and the way back', async () => {
  await using folder = await scratch()
  const image = await imageIn(folder, image => image.flip(0x30018))
  const before = await readFile(image)
  const { exitCode, stdout } = await vhdx(['repair', image])
  expect([exitCode, stdout.split('\n')]).toEqual([
    0,
    [
      expect.stringMatching(
        /^mended {3}VHDX region table\.checksum at byte 0x30000 .* written anew from the other \[REGION_TABLE_COPY_BAD\]$/,
      ),
      `${image}-undo has what was changed: --undo goes back. Delete it when the image is as it should be`,
      `${image}: repaired`,
      '',
    ],
  ])
  expect((await vhdx(['check', image])).stdout).toContain('clean: every rule is kept')
  expect((await vhdx(['repair', image])).stdout).toBe(`${image}: there is nothing to repair\n`)
  const undone = await vhdx(['repair', image, '--undo'])
  expect([undone.exitCode, undone.stdout]).toEqual([
    0,
    expect.stringContaining('is what it was before it was repaired on 2'),
  ])
  expect((await readFile(image)).equals(before)).toBe(true)
})

test('lost: exit 3, with what and where; the same as JSON', async () => {
  await using folder = await scratch()
  const image = await imageIn(folder, image => image.setBat(3, 6, 5, 1))
  const planned = await vhdx(['repair', image, '--dry-run', '--json'])
  expect([planned.exitCode, JSON.parse(planned.stdout.trim().split('\n').at(-1)!)]).toMatchObject([
    3,
    {
      type: 'plan',
      path: image,
      outcome: 'planned',
      undo: null,
      steps: [{ code: 'BAT_RESERVED_BITS', fate: 'dropped' }],
      lost: {
        bytes: MiB,
        ranges: [{ offset: 3 * MiB, length: MiB, reason: 'BAT_RESERVED_BITS', fileOffset: 5 * MiB }],
      },
      left: [],
    },
  ])
  const { exitCode, stdout } = await vhdx(['repair', image])
  expect(exitCode).toBe(3)
  expect(stdout).toContain(
    `lost     1 MiB of the disk:\n           1 MiB at byte 3145728, which may still lie at byte 5242880 of the file [BAT_RESERVED_BITS]\n`,
  )
  const info = await vhdx(['info', image])
  expect(`${info.stdout}${info.stderr}`).toContain('1048576 bytes of its disk were lost')
})

test('refused: exit 4, with what to do, and nothing is changed', async () => {
  await using folder = await scratch()
  const image = await imageIn(folder, image => image.editHeaders({ logGuid: LOG_GUID }))
  const before = await readFile(image)
  const { exitCode, stderr } = await vhdx(['repair', image])
  expect([exitCode, stderr]).toEqual([4, expect.stringContaining('--log discard [LOG_NO_SEQUENCE]')])
  expect([(await readFile(image)).equals(before), existsSync(`${image}-undo`)]).toEqual([true, false])
  const given = await vhdx(['repair', image, '--log', 'discard'])
  expect([given.exitCode, given.stdout]).toEqual([3, expect.stringContaining('warning  the log was given up')])
})

test('what is for another command is left: exit 4 where that is an error', async () => {
  await using folder = await scratch()
  const image = await imageIn(folder, image => {
    image.makeChild({ parent_linkage: `{${LOG_GUID}}` })
    image.flip(0x30018)
  })
  const { exitCode, stdout } = await vhdx(['repair', image])
  expect([exitCode, stdout]).toEqual([4, expect.stringMatching(/^left {5}.* \[PARENT_PATHS\]$/m)])
  expect(stdout).toContain(`${image}: repaired, but for what is left\n`)
})

test('--to: a new image, and the old one is only read', async () => {
  await using folder = await scratch()
  const image = await imageIn(folder, image => image.setBat(3, 4))
  const before = await readFile(image)
  const target = folder.path('new.vhdx')
  const { exitCode, stdout } = await vhdx(['repair', image, '--to', target])
  expect([exitCode, stdout]).toEqual([3, expect.stringContaining(`${target} is complete: 2 MiB read, 6 MiB written\n`)])
  expect([(await readFile(image)).equals(before), existsSync(`${image}-undo`)]).toEqual([true, false])
  expect((await vhdx(['check', target])).exitCode).toBe(0)
})

test.each([
  [['--undo', '--dry-run'], 'USAGE'],
  [['--force'], 'USAGE'],
])('%o is wrong usage', async (options, code) => {
  await using folder = await scratch()
  const image = await imageIn(folder, () => {})
  const { exitCode, stderr } = await vhdx(['repair', image, ...options])
  expect([exitCode, stderr.includes(`[${code}]`)]).toEqual([2, true])
})

test('another format is named, and nothing is written beside it', async () => {
  await using folder = await scratch()
  await writeFile(folder.path('disk.qcow2'), Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(100_000)]))
  const { exitCode, stderr } = await vhdx(['repair', folder.path('disk.qcow2')])
  expect([exitCode, stderr.includes('[NOT_VHDX]')]).toEqual([1, true])
  expect(existsSync(folder.path('disk.qcow2-undo'))).toBe(false)
})
