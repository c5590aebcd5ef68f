/** Volumes that are no good source for a copy, and those that only look so. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { corpusImage } from '../helpers/corpus.ts'
import { describeWith, testWith } from '../helpers/tools.ts'
import { attributePlace, openBytes, runListPlace, volumeBytes, volumeTools } from './volumes.ts'

const CLUSTER = 4096
const RESTART = 0x30

describeWith(volumeTools, 'hazards', () => {
  let clean: Buffer
  beforeAll(async () => {
    clean = await volumeBytes({}, async folder => {
      writeFileSync(join(folder, 'hiberfil.sys'), Buffer.alloc(20_000, 'wake'))
      mkdirSync(join(folder, 'other'))
      writeFileSync(join(folder, 'other', 'hiberfil.sys'), Buffer.alloc(20_000, 'hibr'))
    })
  })

  const hazards = async (change: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(clean)
    change(bytes)
    return (await openBytes(bytes)).hazards.map(({ code }) => code)
  }

  test('none on a clean volume, whatever other folders hold', async () => {
    expect(await hazards(() => {})).toEqual([])
  })

  test('the dirty bit, and that one only', async () => {
    const flags = (bytes: Buffer) => {
      const information = attributePlace(bytes, 3, 0x70)
      return information + bytes.readUInt16LE(information + 0x14) + 10
    }
    expect(await hazards(bytes => bytes.writeUInt16LE(1, flags(bytes)))).toEqual(['NTFS_DIRTY'])
    expect(await hazards(bytes => bytes.writeUInt16LE(0xfffe, flags(bytes)))).toEqual([])
  })

  test.each([
    ['hibr', ['NTFS_HIBERNATED']],
    ['HIBR', ['NTFS_HIBERNATED']],
    ['wake', []],
    ['WAKE', []],
    ['\0\0\0\0', []],
    ['rstr', []],
  ])('hiberfil.sys that begins with %j', async (signature, expected) => {
    const start = clean.indexOf(Buffer.alloc(1000, 'wake'))
    expect(await hazards(bytes => bytes.write(signature, start, 'latin1'))).toEqual(expected)
  })

  /** Writes a restart page of the given fields as both copies; `change` may spoil the second. */
  function writeLog(bytes: Buffer, fields: Partial<typeof CLEAN_LOG>, second: Partial<typeof CLEAN_LOG> = {}): void {
    const runList = runListPlace(bytes, 2)
    const start = bytes.readUIntLE(runList + 1 + (bytes[runList]! & 15), bytes[runList]! >>> 4) * CLUSTER
    restartPage({ ...CLEAN_LOG, ...fields }).copy(bytes, start)
    restartPage({ ...CLEAN_LOG, ...fields, ...second }).copy(bytes, start + 4096)
  }

  test.each([
    ['detached: no client is in use', {}, []],
    ['in use, but marked clean', { inUse: 0, flags: 2 }, []],
    ['in use', { inUse: 0 }, ['NTFS_LOG_NOT_CLEAN']],
    ['of version 2.0', { major: 2, minor: 0 }, ['NTFS_LOG_NOT_CLEAN']],
    ['checked by chkdsk', { magic: 'CHKD' }, []],
    ['without restart pages', { magic: 'JUNK' }, ['NTFS_LOG_NOT_CLEAN']],
    ['with a page size of 3', { pageSize: 3 }, ['NTFS_LOG_NOT_CLEAN']],
    ['with a restart area beyond its page', { restartOffset: 0xfff0 }, ['NTFS_LOG_NOT_CLEAN']],
  ])('a log %s', async (_, fields, expected) => {
    expect(await hazards(bytes => writeLog(bytes, fields))).toEqual(expected)
  })

  test('the later of two restart pages counts', async () => {
    const inUse = { inUse: 0 }
    expect(await hazards(bytes => writeLog(bytes, { lsn: 5n }, { ...inUse, lsn: 6n }))).toEqual(['NTFS_LOG_NOT_CLEAN'])
    expect(await hazards(bytes => writeLog(bytes, { lsn: 5n }, { ...inUse, lsn: 4n }))).toEqual([])
    expect(await hazards(bytes => writeLog(bytes, { lsn: 5n }, { ...inUse, lsn: 6n, torn: true }))).toEqual([])
    expect(await hazards(bytes => writeLog(bytes, { lsn: 5n, torn: true }, { ...inUse, torn: false }))).toEqual([
      'NTFS_LOG_NOT_CLEAN',
    ])
  })
})

const CLEAN_LOG = {
  magic: 'RSTR',
  major: 1,
  minor: 1,
  pageSize: 4096,
  restartOffset: RESTART,
  lsn: 100n,
  inUse: 0xffff,
  flags: 0,
  torn: false,
}

function restartPage(fields: typeof CLEAN_LOG): Buffer {
  const page = Buffer.alloc(4096)
  page.write(fields.magic, 'latin1')
  page.writeUInt16LE(0x1e, 4)
  page.writeUInt16LE(9, 6)
  page.writeUInt32LE(fields.pageSize, 0x10)
  page.writeUInt32LE(4096, 0x14)
  page.writeUInt16LE(fields.restartOffset, 0x18)
  page.writeUInt16LE(fields.minor, 0x1a)
  page.writeUInt16LE(fields.major, 0x1c)
  page.writeBigUInt64LE(fields.lsn, RESTART)
  page.writeUInt16LE(fields.inUse, RESTART + 0xc)
  page.writeUInt16LE(fields.flags, RESTART + 0xe)
  for (let stride = 1; stride <= 8; stride++) {
    page.copy(page, 0x1e + 2 * stride, stride * 512 - 2, stride * 512)
    page.writeUInt16LE(7, stride * 512 - 2)
  }
  page.writeUInt16LE(fields.torn ? 8 : 7, 0x1e)
  return page
}

testWith(['corpus', 'tar', 'xz'], 'logs that Windows left behind', async () => {
  const found: Record<string, string[]> = {}
  for (const name of [
    'jschicht-SampleTinyNtfsVolume/partition.dd',
    'velociraptor/test.ntfs.dd',
    'dissect.ntfs/ntfs.bin',
  ]) {
    await using disk = await FileDevice.open(await corpusImage(`ntfs/${name}`).unpack())
    found[name] = (await NtfsVolume.open(disk)).hazards.map(
      ({ code, message }) => `${code} ${/version \d\.\d/.exec(message)}`,
    )
  }
  expect(found).toEqual({
    'jschicht-SampleTinyNtfsVolume/partition.dd': ['NTFS_LOG_NOT_CLEAN version 1.1'],
    'velociraptor/test.ntfs.dd': ['NTFS_LOG_NOT_CLEAN version 2.0'],
    'dissect.ntfs/ntfs.bin': [],
  })
})
