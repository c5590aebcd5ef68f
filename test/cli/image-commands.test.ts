/** create, check, inspect and map, as users run them. */
import { existsSync } from 'node:fs'
import { open, stat, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { scratch } from '../helpers/folders.ts'
import { LOG_GUID, logEntry, putInLog } from '../vhdx/log-entries.ts'
import { TestImage } from '../vhdx/test-image.ts'

const MiB = 1024 ** 2
const ID = '788015f0-5e93-4bd2-a5de-b0cd8459db11'

describe('create', () => {
  test('a dynamic image, clean and dense', async () => {
    await using folder = await scratch()
    const image = folder.path('new.vhdx')
    expect(await vhdxJson('create', image, '--size', '64GiB', '--id', `{${ID.toUpperCase()}}`)).toEqual({
      path: image,
      format: 'vhdx',
      type: 'dynamic',
      virtualSize: 64 * 1024 * MiB,
      blockSize: MiB,
      logicalSectorSize: 512,
      physicalSectorSize: 4096,
      virtualDiskId: ID,
      fileSize: 4 * MiB,
      parent: null,
      warnings: [],
    })
    expect((await vhdx(['check', image])).exitCode).toBe(0)
    const { size, blocks } = await stat(image)
    expect(blocks * 512).toBeGreaterThanOrEqual(size)
  })

  test('a fixed image of 4096-byte sectors', async () => {
    await using folder = await scratch()
    const image = folder.path('new.vhdx')
    const options = ['--size', '20MiB', '--block-size', '8MiB', '--logical-sector-size', '4096', '--fixed']
    expect(await vhdxJson('create', image, ...options)).toMatchObject({ type: 'fixed', fileSize: 28 * MiB })
    expect((await vhdx(['check', image])).stdout).toContain('fixed, 20 MiB in blocks of 8 MiB\nclean')
  })

  test('a child, with the sectors, the blocks and the id of its parent', async () => {
    await using folder = await scratch()
    const [parent, child] = [folder.path('base.vhdx'), folder.path('monday.avhdx')]
    const options = ['--size', '20MiB', '--block-size', '2MiB', '--physical-sector-size', '512', '--id', ID]
    await vhdxJson('create', parent, ...options)
    const { dataWriteGuid } = await vhdxJson('info', parent)
    expect(await vhdxJson('create', child, '--parent', parent)).toMatchObject({
      type: 'differencing',
      virtualSize: 20 * MiB,
      blockSize: 2 * MiB,
      physicalSectorSize: 512,
      virtualDiskId: ID,
      parent: { id: dataWriteGuid, paths: { relative_path: '.\\base.vhdx' } },
    })
    expect((await vhdx(['chain', child])).exitCode).toBe(0)
    const larger = await vhdx(['create', child, '--parent', parent, '--size', '24MiB', '--force'])
    expect(larger).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/parent: +\.\\base\.vhdx/) })
    expect((await vhdx(['create', folder.path('x'), '--parent', child])).stderr).toContain(
      'expected 20971520, as in its',
    )
    const { warnings } = await vhdxJson('create', folder.path('y.vhd'), '--parent', parent)
    expect(warnings).toMatchObject([{ code: 'NAME_OF_OTHER_FORMAT' }])
    const nothing = await vhdx(['create', folder.path('y')])
    expect([nothing.exitCode, nothing.stderr]).toEqual([2, expect.stringContaining('--size')])
  })

  test.each([
    [['--size', '64 apples'], 'BAD_SIZE'],
    [['--size', '1GiB', '--block-size', '3MiB'], 'BAD_BLOCK_SIZE'],
    [['--size', '1GiB', '--id', 'mine'], 'BAD_DISK_ID'],
  ])('%o is wrong usage and leaves nothing', async (options, code) => {
    await using folder = await scratch()
    const image = folder.path('new.vhdx')
    const { exitCode, stderr } = await vhdx(['create', image, ...options])
    expect([exitCode, stderr.includes(`[${code}]`)]).toEqual([2, true])
    expect([existsSync(image), existsSync(`${image}.partial`)]).toEqual([false, false])
  })

  test('a fixed image larger than the free space is refused before anything is written', async () => {
    await using folder = await scratch()
    const image = folder.path('new.vhdx')
    const { exitCode, stderr } = await vhdx(['create', image, '--size', '63TiB', '--fixed'])
    expect([exitCode, stderr.includes('[NO_SPACE]')]).toEqual([1, true])
    expect([existsSync(image), existsSync(`${image}.partial`)]).toEqual([false, false])
  })

  test('replaces a file only with --force', async () => {
    await using folder = await scratch()
    const image = folder.path('new.vhdx')
    await writeFile(image, 'precious')
    expect((await vhdx(['create', image, '--size', '1GiB'])).stderr).toContain('TARGET_EXISTS')
    expect((await stat(image)).size).toBe(8)
    await vhdxJson('create', image, '--size', '1GiB', '--force')
    expect((await stat(image)).size).toBe(4 * MiB)
  })
})

/** An image of 8 blocks, of which 0, 3 and 7 are present, changed by `change`, as a file. */
async function imageFile(path: string, change: (image: TestImage) => void = () => {}): Promise<string> {
  const image = await TestImage.make({ virtualSize: 8 * MiB, blockSize: MiB }, [0, 3, 7])
  change(image)
  await writeFile(path, image.content)
  return path
}

describe('check', () => {
  test('exit 4 with what is wrong, where, what Windows says and what to do', async () => {
    await using folder = await scratch()
    const image = await imageFile(folder.path('image.vhdx'), image => image.setBat(1, 6, 5))
    const { exitCode, stdout } = await vhdx(['check', image, '--explain'])
    expect(exitCode).toBe(4)
    expect(stdout.split('\n')).toEqual([
      `${image}: dynamic, 8 MiB in blocks of 1 MiB`,
      'error    VHDX BAT entry of block 3 at byte 0x300018 is at MiB 5, where another block lies, expected in free space [BAT_OVERLAP]',
      '         rule: [MS-VHDX] 2.5.1',
      '         Windows: 0xC03A000A ERROR_VHD_BLOCK_ALLOCATION_TABLE_CORRUPT',
      expect.stringMatching('^ {9}to do: .*restore the file from a copy'),
      'damaged: 1 error, 0 warnings',
      '',
    ])
  })

  test('exit 3 for a file with holes, which Windows does not attach', async () => {
    await using folder = await scratch()
    const image = folder.path('image.vhdx')
    const { content } = await TestImage.make({ virtualSize: 8 * MiB, blockSize: MiB }, [0, 3, 7])
    // All but the log, which is empty.
    const file = await open(image, 'wx')
    await file.write(content, 0, MiB, 0)
    await file.write(content, 2 * MiB, 5 * MiB, 2 * MiB)
    await file.close()
    const { exitCode, stdout } = await vhdx(['check', image, '--json'])
    expect([exitCode, JSON.parse(stdout).summary.counts]).toEqual([3, { FILE_SPARSE: 1 }])
  })

  test('exit 0 for a good child, with a note that its parent was not looked at; 4 for a bad one', async () => {
    await using folder = await scratch()
    const locator = { parent_linkage: `{${ID}}`, relative_path: '.\\base.vhdx' }
    const good = await imageFile(folder.path('good.avhdx'), image => image.makeChild(locator))
    const { exitCode, stdout } = await vhdx(['check', good])
    expect(exitCode).toBe(0)
    expect(stdout.split('\n')).toEqual([
      `${good}: differencing, 8 MiB in blocks of 1 MiB`,
      "note     this is a differencing image, and its parent, '.\\base.vhdx', was not looked at [PARENT_NOT_OPENED]",
      'clean: every rule is kept',
      '',
    ])
    expect(JSON.parse((await vhdx(['check', good, '--json'])).stdout).summary).toMatchObject({ warnings: 0, notes: 1 })
    const bad = await imageFile(folder.path('bad.avhdx'), image => {
      image.makeChild(locator)
      image.setBat(0, 7, 4)
    })
    expect((await vhdx(['check', bad])).exitCode).toBe(4)
  })

  test('exit 4 in one line for what is no VHDX, and for an empty file', async () => {
    await using folder = await scratch()
    for (const content of ['', 'something else'.repeat(100)]) {
      const path = folder.path('other')
      await writeFile(path, content)
      const { exitCode, stdout } = await vhdx(['check', path])
      expect([exitCode, stdout.split('\n').length]).toEqual([4, 4])
    }
    expect((await vhdx(['check', folder.path('missing')])).exitCode).toBe(1)
  })

  test('many problems of one kind are told briefly', async () => {
    await using folder = await scratch()
    const path = folder.path('image.vhdx')
    const image = await TestImage.make({ virtualSize: 300 * MiB, blockSize: MiB })
    for (let block = 0; block < 300; block++) image.setBat(block, 5)
    await writeFile(path, image.content)
    const { stdout } = await vhdx(['check', path])
    expect(stdout).toContain('and 200 more [BAT_STATE]')
    expect(stdout).toContain('damaged: 300 errors, 0 warnings')
  })
})

describe('inspect', () => {
  test('as text, with entries of the BAT', async () => {
    await using folder = await scratch()
    const image = await imageFile(folder.path('image.vhdx'))
    const { exitCode, stdout } = await vhdx(['inspect', image, '--bat', '2-3'])
    expect(exitCode).toBe(0)
    expect(stdout).toContain('0x00020000  header 2 (current), 80 bytes\n')
    expect(stdout).toContain('  0x00210000  blockSize  1048576 (0x100000)\n')
    expect(stdout).toContain('  0x00300010  block 2  notPresent\n  0x00300018  block 3  fullyPresent at MiB 5\n')
  })

  test('as JSON, of a damaged image too', async () => {
    await using folder = await scratch()
    const image = await imageFile(folder.path('image.vhdx'), image => {
      image.content = image.content.subarray(0, 2 * MiB)
    })
    const { exitCode, stdout } = await vhdx(['inspect', image, '--json'])
    expect(exitCode).toBe(4)
    const { structures } = JSON.parse(stdout)
    const header = structures.find(({ name }: { name: string }) => name === 'header 2')
    expect(header.fields).toContainEqual({ name: 'sequenceNumber', position: 0x20008, value: '2' })
    expect(structures.at(-1)).toMatchObject({ name: 'metadata table', status: 'beyond the end of the file' })
  })

  test('wrong entries are wrong usage', async () => {
    await using folder = await scratch()
    const image = await imageFile(folder.path('image.vhdx'))
    for (const entries of ['5-3', 'all', '0-70000']) {
      expect((await vhdx(['inspect', image, '--bat', entries])).exitCode).toBe(2)
    }
  })
})

describe('map', () => {
  test('a picture, in Unicode and in ASCII', async () => {
    await using folder = await scratch()
    const image = await imageFile(folder.path('image.vhdx'))
    expect((await vhdx(['map', image, '--ascii'])).stdout).toBe(
      [
        '       0 B  #..#...#',
        '',
        '. nothing  - to 1/3  + to 2/3  * more  # all; a cell is 1 MiB of the disk',
        'blocks: 5 notPresent, 3 fullyPresent',
        '',
      ].join('\n'),
    )
    const { stdout } = await vhdx(['map', image], { env: { LC_ALL: 'C.UTF-8' } })
    expect(stdout).toContain('       0 B  █··█···█\n')
  })

  test('ranges, one line of JSON each, then a summary', async () => {
    await using folder = await scratch()
    const image = await imageFile(folder.path('image.vhdx'))
    const { stdout } = await vhdx(['map', image, '--json'])
    const lines = stdout
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(lines).toHaveLength(6)
    expect(lines[1]).toEqual({
      type: 'range',
      offset: MiB,
      length: 2 * MiB,
      block: 1,
      count: 2,
      state: 'notPresent',
    })
    expect(lines.at(-1)).toMatchObject({ type: 'summary', blockCount: 8, blocks: { fullyPresent: 3, notPresent: 5 } })
    expect((await vhdx(['map', image, '--ranges'])).stdout).toContain('1048576       2 MiB  notPresent')
  })

  test('of a child without its parent', async () => {
    await using folder = await scratch()
    const locator = { parent_linkage: `{${ID}}`, relative_path: '.\\base.vhdx' }
    const child = await imageFile(folder.path('child.avhdx'), image => image.makeChild(locator))
    const { exitCode, stdout } = await vhdx(['map', child, '--json'])
    const summary = JSON.parse(stdout.trimEnd().split('\n').at(-1)!)
    expect([exitCode, summary.blocks]).toMatchObject([0, { fullyPresent: 3, notPresent: 5 }])
  })

  test('a dirty log is replayed, and info, check and inspect say so', async () => {
    await using folder = await scratch()
    const image = await imageFile(folder.path('image.vhdx'), image => {
      image.editHeaders({ logGuid: LOG_GUID })
      putInLog(image, 0, logEntry({ sequenceNumber: 5n, zeros: [{ fileOffset: 3 * MiB, zeroLength: 4096 }] }))
    })
    expect(await vhdxJson('info', image)).toMatchObject({ log: 'replayed', allocatedBlocks: 0 })
    const check = await vhdx(['check', image, '--explain'])
    expect([check.exitCode, check.stdout.includes('[LOG_DIRTY]')]).toEqual([3, true])
    expect(check.stdout).toContain('Attach the file read-write in Windows once')
    const inspect = await vhdx(['inspect', image])
    expect(inspect.stdout).toContain('log (replayed in memory)')
    expect(inspect.stdout).toContain('BAT (after replay of the log)')
  })

  test('a log that says nothing is refused by name', async () => {
    await using folder = await scratch()
    const image = await imageFile(folder.path('image.vhdx'), image => image.editHeaders({ logGuid: ID }))
    const { exitCode, stderr } = await vhdx(['map', image])
    expect([exitCode, stderr.includes('[LOG_NO_SEQUENCE]')]).toEqual([4, true])
  })
})
