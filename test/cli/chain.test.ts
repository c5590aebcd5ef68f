import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { openDisk } from '../../lib/image/open-disk.ts'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { scratch } from '../helpers/folders.ts'
import * as images from '../image/chain-images.ts'

describe('chain', () => {
  test('a whole one: exit 0, the child first', async () => {
    await using folder = await scratch()
    const parent = await images.vhdx()
    const child = await images.vhdx(parent, { relative_path: '.\\base.vhdx' })
    const [leaf, base] = [folder.path('leaf.avhdx'), folder.path('base.vhdx')]
    await writeFile(leaf, child.file)
    await writeFile(base, parent.file)
    const { stdout, exitCode } = await vhdx(['chain', leaf])
    expect(exitCode).toBe(0)
    expect(stdout).toMatch(new RegExp(`leaf.avhdx +vhdx, differencing +3 MiB .* ${child.id} +found, its id fits`))
    expect(stdout).toMatch(new RegExp(`base.vhdx +vhdx, dynamic +3 MiB .* ${parent.id} +none needed`))

    const json = await vhdxJson('chain', leaf)
    expect(json).toMatchObject({ complete: true, problem: null, findings: [] })
    expect(json.images).toMatchObject([
      { path: leaf, type: 'differencing', id: child.id, virtualSize: images.SIZE, fileSize: child.file.length },
      { path: base, type: 'dynamic', id: parent.id, parent: null, created: null },
    ])
    expect(json.images[0].parent).toEqual({ ids: [parent.id], paths: ['.\\base.vhdx'], modified: null })
    expect(json.images[0].modified).toMatch(/^\d{4}-.*Z$/)

    const info = await vhdx(['info', leaf])
    expect(info.stdout).toContain('vhdx, differencing')
    expect(info.stdout).toContain(`parents:         ${base}`)
  })

  test('a missing parent: exit 1, and where it was looked for; --parent and --search help', async () => {
    await using folder = await scratch()
    const parent = images.vhd()
    const child = images.vhd(parent, { W2ku: 'C:\\disks\\base.vhd' })
    await writeFile(folder.path('leaf.vhd'), child.file)
    const leaf = folder.path('leaf.vhd')
    const missing = await vhdx(['chain', leaf])
    expect(missing.exitCode).toBe(1)
    expect(missing.stdout).toMatch(/leaf.vhd +vhd, differencing .* MISSING/)
    expect(missing.stdout).toContain(`'${folder.path('base.vhd')}'`)
    const json = JSON.parse((await vhdx(['chain', leaf, '--json'])).stdout)
    expect(json).toMatchObject({
      complete: false,
      problem: { code: 'PARENT_NOT_FOUND', details: { expected: [parent.id] } },
    })

    await using elsewhere = await scratch()
    await writeFile(elsewhere.path('base.vhd'), parent.file)
    expect((await vhdx(['chain', leaf, '--search', elsewhere.folder])).exitCode).toBe(0)
    expect((await vhdx(['chain', leaf, '--parent', elsewhere.path('base.vhd')])).exitCode).toBe(0)
    expect(await vhdxJson('info', leaf, '--search', elsewhere.folder)).toMatchObject({
      format: 'vhd',
      type: 'differencing',
      uniqueId: child.id,
      chain: [{ path: leaf }, { path: elsewhere.path('base.vhd'), type: 'dynamic', id: parent.id }],
    })
    const wrong = await vhdx(['chain', leaf, '--parent', leaf])
    expect(wrong).toMatchObject({ exitCode: 4, stdout: expect.stringContaining('NOT USABLE (CHAIN_CYCLE)') })
  })

  test('a finding: exit 3. What is no image: exit 1', async () => {
    await using folder = await scratch()
    const image = images.vhd()
    image.file.fill(0, 0, 8)
    await writeFile(folder.path('image.vhd'), image.file)
    const { exitCode, stdout } = await vhdx(['chain', folder.path('image.vhd')])
    expect(exitCode).toBe(3)
    expect(stdout).toContain('warning: the copy of the footer')
    await writeFile(folder.path('raw'), Buffer.alloc(8192, 1))
    const raw = await vhdx(['chain', folder.path('raw')])
    expect(raw).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('[NO_IMAGE]') })
  })
})

test.each(['check', 'inspect', 'map'])('%s says that a VHD is no VHDX', async command => {
  await using folder = await scratch()
  await writeFile(folder.path('image.vhd'), images.vhd().file)
  const { exitCode, stderr } = await vhdx([command, folder.path('image.vhd')])
  expect(exitCode).toBe(1)
  expect(stderr).toContain('is a VHD file')
  expect(stderr).toContain('[NOT_VHDX]')
})

test('capture takes the disk of a whole chain, and writes over no image of it', async () => {
  await using folder = await scratch()
  const parent = images.vhd()
  const child = images.vhd(parent, { W2ru: '.\\base.vhd' })
  const [leaf, base, target] = [folder.path('leaf.vhd'), folder.path('base.vhd'), folder.path('copy.vhdx')]
  await writeFile(leaf, child.file)
  await writeFile(base, parent.file)
  for (const own of [leaf, base]) {
    const { exitCode, stderr } = await vhdx(['capture', leaf, own, '--force'])
    expect(exitCode).toBe(2)
    expect(stderr).toContain('[SAME_FILE]')
  }
  expect((await vhdx(['capture', leaf, target])).exitCode).toBe(0)
  await using opened = await openDisk(target)
  const content = Buffer.alloc(child.disk.length)
  await opened.disk.read(0, content)
  expect(content.equals(child.disk)).toBe(true)
})
