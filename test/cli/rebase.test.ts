import { copyFile, mkdir, rename } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { openDisk } from '../../lib/image/open-disk.ts'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'

async function write(path: string, offset: number, bytes: Buffer): Promise<void> {
  await using opened = await openDisk(path, { writable: true, force: true })
  await opened.disk.write(offset, bytes)
}

async function makeImages(folder: Scratch) {
  const [base, other, child] = ['base.vhdx', 'other.vhdx', 'child.avhdx'].map(name => folder.path(name)) as [
    string,
    string,
    string,
  ]
  await vhdxJson('create', base, '--size', '8MiB')
  await copyFile(base, other)
  await write(other, 4096, pattern(4096))
  await vhdxJson('create', child, '--parent', base)
  return { base, other, child }
}

test('relink: the parent was moved', async () => {
  await using folder = await scratch()
  const { base, child } = await makeImages(folder)
  await mkdir(folder.path('sub'))
  await rename(base, folder.path('sub/base.vhdx'))
  const planned = await vhdx(['relink', child, '--parent', folder.path('sub/base.vhdx'), '--dry-run'])
  expect(planned.stdout).toContain(`its parent would be found at ${folder.path('sub/base.vhdx')}`)
  expect((await vhdx(['info', child])).exitCode).toBe(1)
  expect(await vhdxJson('relink', child, '--parent', folder.path('sub/base.vhdx'))).toMatchObject({
    path: child,
    sameParent: true,
    paths: { relative_path: '.\\sub\\base.vhdx' },
    warnings: [],
  })
  expect((await vhdx(['info', child])).exitCode).toBe(0)
})

test('what cannot be a parent is wrong usage', async () => {
  await using folder = await scratch()
  const { child } = await makeImages(folder)
  const refused = await vhdx(['relink', child, '--parent', child])
  expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('[CHAIN_CYCLE]') })
})

test('relink refuses another parent that differs; rebase copies what does', async () => {
  await using folder = await scratch()
  const { other, child } = await makeImages(folder)
  const refused = await vhdx(['relink', child, '--parent', other])
  expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('at byte 4096 of the disk') })
  expect(refused.stderr).toContain('[PARENT_DIFFERS]')
  const planned = await vhdx(['rebase', child, '--parent', other, '--dry-run'])
  expect(planned).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('4 KiB would be copied') })
  expect(await vhdxJson('rebase', child, '--parent', other)).toMatchObject({
    sameParent: false,
    copiedBytes: 4096,
    dryRun: false,
  })
  expect((await vhdx(['chain', child])).exitCode).toBe(0)
  await using opened = await openDisk(child)
  const bytes = Buffer.alloc(8192, 1)
  await opened.disk.read(4096, bytes)
  expect(bytes.equals(Buffer.alloc(8192))).toBe(true)
})
