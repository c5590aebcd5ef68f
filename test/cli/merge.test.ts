import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { openDisk } from '../../lib/image/open-disk.ts'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { hashFile } from '../helpers/disks.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'

const MiB = 1024 ** 2

async function makePair(folder: Scratch): Promise<[base: string, child: string]> {
  const [base, child] = [folder.path('base.vhdx'), folder.path('child.avhdx')]
  await vhdxJson('create', base, '--size', '8MiB')
  await vhdxJson('create', child, '--parent', base, '--size', '9MiB')
  await using opened = await openDisk(child, { writable: true })
  await opened.disk.write(512, pattern(1024))
  await opened.disk.write(8 * MiB, pattern(MiB))
  return [base, child]
}

test('merge: into the parent, tried first and then done again', async () => {
  await using folder = await scratch()
  const [base, child] = await makePair(folder)
  const before = await hashFile(base)
  const planned = await vhdx(['merge', child, '--dry-run'])
  expect(planned.stdout).toBe(
    `${base} would become the disk of ${child}: 1 MiB copied\nits size would become 9 MiB, and was 8 MiB\n`,
  )
  expect(await hashFile(base)).toBe(before)
  const merged = await vhdx(['merge', child])
  expect(merged.exitCode).toBe(0)
  expect(merged.stdout).toMatch(
    /base\.vhdx is now the disk of .*child\.avhdx: 1 MiB copied in .*\nits size is now 9 MiB, and was 8 MiB\nnot needed any more: .*child\.avhdx\n$/,
  )
  expect((await vhdx(['diff', base, child])).stdout).toContain('hold the same disk')
  expect((await vhdx(['check', base])).exitCode).toBe(0)
  expect(await vhdxJson('merge', child, '--into', base, '--delete')).toMatchObject({
    type: 'summary',
    path: child,
    into: base,
    merged: [child],
    resumed: false,
    sizeBefore: 9 * MiB,
    sizeAfter: 9 * MiB,
    dataBytes: MiB + 1024,
    zeroBytes: 0,
    children: [],
    deleted: true,
    warnings: [],
  })
  expect(await readdir(folder.folder)).toEqual(['base.vhdx'])
})

test('merge: an image that has children is not said to be of no use', async () => {
  await using folder = await scratch()
  const [, child] = await makePair(folder)
  const grandchild = folder.path('grandchild.avhdx')
  await vhdxJson('create', grandchild, '--parent', child)
  const { stdout } = await vhdx(['merge', child])
  expect(stdout.split('\n').slice(2)).toEqual([`still needed: ${child}, the parent of ${grandchild}`, ''])
  expect((await vhdx(['chain', grandchild])).exitCode).toBe(0)
})

test('merge --to: a new image, and nothing else changes', async () => {
  await using folder = await scratch()
  const [base, child] = await makePair(folder)
  const before = [await hashFile(base), await hashFile(child)]
  const target = folder.path('whole.vhdx')
  expect((await vhdx(['merge', child, '--to', target, '--dry-run'])).stdout).toMatch(
    /whole\.vhdx would hold the disk of/,
  )
  expect(await vhdxJson('merge', child, '--to', target)).toMatchObject({
    type: 'summary',
    path: child,
    into: target,
    merged: [child, base],
    dryRun: false,
  })
  expect((await vhdx(['diff', target, child])).stdout).toContain('hold the same disk')
  for (const dryRun of [[], ['--dry-run']]) {
    expect((await vhdx(['merge', child, '--to', target, ...dryRun])).stderr).toContain('[TARGET_EXISTS]')
    expect((await vhdx(['merge', child, '--to', base, '--force', ...dryRun])).stderr).toContain('[SAME_FILE]')
  }
  expect([await hashFile(base), await hashFile(child)]).toEqual(before)
})

test('merge: wrong usage', async () => {
  await using folder = await scratch()
  const [base, child] = await makePair(folder)
  const refused = async (...args: string[]) => {
    const { exitCode, stderr } = await vhdx(['merge', ...args])
    return [exitCode, /\[(\w+)\]\n$/.exec(stderr)?.[1]]
  }
  expect(await refused(child, '--to', 'x.vhdx', '--delete')).toEqual([2, 'USAGE'])
  expect(await refused(base, '--to', folder.path('x.vhdx'))).toEqual([2, 'NOT_A_CHILD'])
  await vhdxJson('create', folder.path('other.avhdx'), '--parent', base)
  expect(await refused(child)).toEqual([1, 'HAS_CHILDREN'])
})
