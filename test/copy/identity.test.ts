import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { guidFromText } from '../../lib/binary/guid.ts'
import { MiB } from '../../lib/binary/size.ts'
import { createChild, createImage } from '../../lib/copy/create-image.ts'
import { changeIdentity, type IdentityChange, readIdentity } from '../../lib/copy/identity.ts'
import { openDisk } from '../../lib/image/open-disk.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { createVhdx } from '../../lib/vhdx/create.ts'
import { setVirtualDiskId } from '../../lib/vhdx/disk-id.ts'
import { replayLogOnDisk } from '../../lib/vhdx/log-recovery.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { Random } from '../fuzz/random.ts'
import { vhdx, vhdxJson } from '../helpers/cli.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { afterAll, afterSome, RecordingDevice } from '../helpers/recording-device.ts'
import { SparseFile } from '../helpers/sparse-file.ts'
import { run, testWith } from '../helpers/tools.ts'
import { vhd } from '../image/chain-images.ts'
import { bootSectorOf, DISK_GUID, type GptPlan, writeGpt } from '../partition/make-tables.ts'

const ESP = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b'
const GUID = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'
const TABLE: GptPlan = {
  partitions: { 0: { firstLba: 2048, lastLba: 4095, typeGuid: ESP }, 1: { firstLba: 4096, lastLba: 8191 } },
}

async function gptImage(dir: Scratch, plan = TABLE): Promise<string> {
  const path = dir.path('gpt.vhdx')
  await createImage(path, { virtualSize: 8 * MiB })
  await using opened = await openDisk(path, { writable: true })
  await writeGpt(opened.disk, plan)
  await opened.disk.write(4096 * 512, pattern(MiB))
  return path
}

const mbrOf = (status = 0x80) => {
  const disk = Buffer.alloc(8 * MiB)
  bootSectorOf([{ type: 7, status, firstLba: 2048, sectorCount: 4096 }]).copy(disk)
  return disk
}

async function expectSound(path: string): Promise<void> {
  await using opened = await openDisk(path)
  expect((await checkVhdx(opened.file)).problems).toEqual([])
}

const codes = (findings: readonly { code: string }[]) => findings.map(({ code }) => code)

test('everything gets another id, and all else stays', async () => {
  await using dir = await scratch()
  const path = await gptImage(dir)
  const before = await readIdentity(path)
  expect(before).toMatchObject({
    format: 'vhdx',
    partitionTable: 'gpt',
    diskGuid: DISK_GUID,
    signature: null,
    boots: 'uefi',
  })
  const { changed, consequences } = await changeIdentity(path, 'all')
  expect(changed.map(({ what, number }) => [what, number])).toEqual([
    ['virtualDiskId', undefined],
    ['diskGuid', undefined],
    ['partition', 1],
    ['partition', 2],
  ])
  // The second partition is of a type that Linux gives.
  expect(codes(consequences)).toEqual(['BCD_NAMES_OLD_IDS', 'DRIVE_LETTERS_LOST', 'PARTUUID_CHANGED'])
  await expectSound(path)
  const after = await readIdentity(path)
  const idsOf = ({ virtualDiskId, diskGuid, partitions }: typeof before) => [
    virtualDiskId,
    diskGuid,
    ...partitions.map(({ id }) => id),
  ]
  expect(changed.map(change => change.before)).toEqual(idsOf(before))
  expect(changed.map(change => change.after)).toEqual(idsOf(after))
  expect(new Set([...idsOf(before), ...idsOf(after)]).size).toBe(8)
  expect(after.findings).toEqual([])
  expect(after.dataWriteGuid).not.toBe(before.dataWriteGuid)
  await using opened = await openDisk(path)
  const content = Buffer.alloc(MiB)
  await opened.disk.read(4096 * 512, content)
  expect(content.equals(pattern(MiB))).toBe(true)
})

describe('one id at a time', () => {
  test.each<[string, IdentityChange, string[], string[]]>([
    ['of the virtual disk, which no system on it knows', { virtualDiskId: GUID }, ['virtualDiskId'], []],
    ['of the disk, by which Windows starts', { diskGuid: GUID }, ['diskGuid'], ['BCD_NAMES_OLD_IDS']],
    [
      'of the partitions',
      { partitionGuids: 'new' },
      ['partition', 'partition'],
      ['BCD_NAMES_OLD_IDS', 'DRIVE_LETTERS_LOST', 'PARTUUID_CHANGED'],
    ],
  ])('%s', async (_, change, what, consequences) => {
    await using dir = await scratch()
    const path = await gptImage(dir)
    const before = await readIdentity(path)
    const bytes = await readFile(path)
    const plan = await changeIdentity(path, change, { dryRun: true })
    expect((await readFile(path)).equals(bytes)).toBe(true)
    const report = await changeIdentity(path, change)
    for (const { changed, consequences: told } of [plan, report]) {
      expect(changed.map(id => id.what)).toEqual(what)
      expect(codes(told)).toEqual(consequences)
    }
    const { dataWriteGuid: _a, ...after } = await readIdentity(path)
    const { dataWriteGuid: _b, ...expected } = before
    const { virtualDiskId, diskGuid } = change
    expect(after).toEqual({
      ...expected,
      ...(virtualDiskId && { virtualDiskId }),
      ...(diskGuid && { diskGuid }),
      partitions: change.partitionGuids ? after.partitions : before.partitions,
    })
    expect(plan.changed.every(id => id.after === (virtualDiskId ?? diskGuid ?? null))).toBe(true)
    await expectSound(path)
  })

  test.each([
    [0x80, ['BCD_NAMES_OLD_IDS', 'DRIVE_LETTERS_LOST']],
    [0, ['DRIVE_LETTERS_LOST']],
  ])('the signature of an MBR in a raw file, active %i', async (status, consequences) => {
    await using dir = await scratch()
    const path = dir.path('disk.raw')
    const before = mbrOf(status)
    await writeFile(path, before)
    const report = await changeIdentity(path, 'all')
    expect(report.changed).toMatchObject([{ what: 'signature', before: '1a2b3c4d' }])
    expect(codes(report.consequences)).toEqual(consequences)
    const after = await readFile(path)
    expect(after.readUInt32LE(0x1b8).toString(16).padStart(8, '0')).toBe(report.changed[0]!.after)
    before.copy(after, 0x1b8, 0x1b8, 0x1bc)
    expect(after.equals(before)).toBe(true)
  })
})

test('a child has ids of its own, a parent keeps its', async () => {
  await using dir = await scratch()
  const path = await gptImage(dir)
  const child = dir.path('child.vhdx')
  await createChild(child, path)
  await expect(changeIdentity(path, 'all')).rejects.toMatchObject({ code: 'HAS_CHILDREN' })
  const before = await readIdentity(path)
  await changeIdentity(child, 'all')
  expect(await readIdentity(path)).toEqual(before)
  expect((await readIdentity(child)).diskGuid).not.toBe(before.diskGuid)
  await changeIdentity(path, { virtualDiskId: GUID }, { force: true })
  expect(await readIdentity(path)).toMatchObject({ virtualDiskId: GUID })
})

describe('what cannot be', () => {
  test.each<[IdentityChange, string]>([
    [{ virtualDiskId: 'abc' }, 'BAD_ID'],
    [{ diskGuid: '00000000-0000-0000-0000-000000000000' }, 'BAD_ID'],
    [{ signature: '123' }, 'BAD_ID'],
    [{ signature: '00000000' }, 'BAD_ID'],
    [{ signature: 'new' }, 'NOT_ON_THIS_DISK'],
  ])('%o of a GPT disk', async (change, code) => {
    await using dir = await scratch()
    const path = await gptImage(dir)
    const before = await readFile(path)
    await expect(changeIdentity(path, change)).rejects.toMatchObject({ code })
    expect((await readFile(path)).equals(before)).toBe(true)
  })

  test('ids that raw disks, MBRs and VHDs do not have', async () => {
    await using dir = await scratch()
    const [raw, mbr, old] = [dir.path('raw'), dir.path('mbr'), dir.path('old.vhd')]
    await writeFile(raw, Buffer.alloc(MiB))
    await writeFile(mbr, mbrOf())
    await writeFile(old, vhd().file)
    await expect(changeIdentity(raw, 'all')).rejects.toMatchObject({ code: 'NOT_ON_THIS_DISK' })
    for (const change of [{ diskGuid: 'new' }, { partitionGuids: 'new' }, { virtualDiskId: 'new' }] as const)
      await expect(changeIdentity(mbr, change)).rejects.toMatchObject({ code: 'NOT_ON_THIS_DISK' })
    await expect(changeIdentity(old, 'all')).rejects.toMatchObject({ code: 'VHD_READ_ONLY' })
    expect(await readIdentity(old)).toMatchObject({ format: 'vhd', virtualDiskId: null, uniqueId: expect.any(String) })
  })
})

test('the power is cut while the id of the virtual disk changes: it is the old one or the new one', async () => {
  const start = new SparseFile()
  await createVhdx(start, { virtualSize: 4 * MiB, virtualDiskId: DISK_GUID })
  const medium = new RecordingDevice(start.copy())
  await setVirtualDiskId(medium, GUID)
  const random = new Random('identity')
  const seen = new Set<string>()
  for (const moment of medium.moments) {
    for (const file of [afterAll(moment), ...[1, 2, 3].map(() => afterSome(moment, random))]) {
      await replayLogOnDisk(file)
      const { problems } = await checkVhdx(file)
      expect(problems.filter(({ severity }) => severity === 'error')).toEqual([])
      seen.add((await VhdxDevice.open(file)).metadata.virtualDiskId)
    }
  }
  expect([...seen].sort()).toEqual([DISK_GUID, GUID])
})

testWith(['sgdisk', 'qemu-img', '7zz'], 'ours, judged by 7-Zip and sgdisk', async () => {
  await using dir = await scratch()
  const [path, raw] = [await gptImage(dir), dir.path('disk.raw')]
  const { changed } = await changeIdentity(path, 'all')
  const listed = await run('7zz', ['l', '-slt', path])
  expect(listed.stdout).toContain(`\nId: ${guidFromText(changed[0]!.after!).toString('hex')}\n`)
  await run('qemu-img', ['convert', '-O', 'raw', path, raw])
  const { stdout } = await run('sgdisk', ['-v', '-p', '-i', '2', raw])
  expect(stdout).toContain('No problems found')
  expect(stdout).toContain(`Disk identifier (GUID): ${changed[1]!.after!.toUpperCase()}`)
  expect(stdout).toContain(`Partition unique GUID: ${changed[3]!.after!.toUpperCase()}`)
})

test('the command shows and changes', async () => {
  await using dir = await scratch()
  const path = await gptImage(dir)
  const shown = await vhdx(['identity', path])
  expect(shown.stdout).toMatch(/disk GUID: +11111111-2222-3333-4444-555555555555\nstarts by: +UEFI\n/)
  const report = await vhdxJson('identity', path, '--disk-guid', `{${GUID.toUpperCase()}}`)
  expect(report).toMatchObject({ changed: [{ what: 'diskGuid', before: DISK_GUID, after: GUID }] })
  expect((await vhdx(['identity', path, '--new', '--disk-id', 'new'])).exitCode).toBe(2)
  expect(await vhdx(['identity', path, '--signature', 'zz'])).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("'zz' is not a disk signature, which has 8 hex digits"),
  })
})
