/** Structures made to hang, to crash or to take the memory: each ends with a named error or a finding, and soon. */
import { linkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { DiskImageError, FormatError } from '../../lib/errors.ts'
import { decodeAttributeList } from '../../lib/ntfs/attribute-list.ts'
import { decodeFileName } from '../../lib/ntfs/file-name.ts'
import { decodeFileRecord } from '../../lib/ntfs/file-record.ts'
import { applyFixup } from '../../lib/ntfs/fixup.ts'
import { attributeListEntry } from '../../lib/ntfs/format.ts'
import { recordsInUse } from '../../lib/ntfs/record-scan.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith } from '../helpers/tools.ts'
import {
  attributePlace,
  fragment,
  openBytes,
  recordOf,
  recordPlace,
  survey,
  volumeBytes,
  volumeTools,
} from './volumes.ts'

const junk = (maxLength: number) => fc.uint8Array({ minLength: 0, maxLength }).map(bytes => Buffer.from(bytes))

/** Runs `work`; a FormatError is fine, anything else that is thrown is not. */
function formatErrorOrNothing(work: () => unknown): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
  }
}

describe('bytes without meaning', () => {
  test('as an attribute list, a file name, a file record', () => {
    fc.assert(
      fc.property(junk(400), bytes => {
        formatErrorOrNothing(() => decodeAttributeList(bytes, 0))
        formatErrorOrNothing(() => decodeFileName(bytes, 0))
        const record = Buffer.alloc(1024)
        record.write('FILE', 'latin1')
        record.set([0x30, 0, 3, 0], 4)
        bytes.copy(record, 16)
        formatErrorOrNothing(() => decodeFileRecord(record, 0, 0))
      }),
      { numRuns: 2000 },
    )
  })

  test('an attribute list of entries without length', () => {
    expect(() => decodeAttributeList(Buffer.alloc(4096), 0)).toThrow(/entry.length at byte 0x0 is 0, expected from 26/)
  })

  test('an update sequence changes nothing unless all of it fits', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1024, maxLength: 1024 }), bytes => {
        const record = Buffer.from(bytes)
        const before = Buffer.from(record)
        if (applyFixup(record, 0, 1024) !== undefined) expect(record).toEqual(before)
      }),
    )
  })

  test('a scan of any records', () => {
    fc.assert(
      fc.property(fc.array(junk(1024), { maxLength: 4 }), pieces => {
        const records = Buffer.alloc(1024 * pieces.length)
        for (const [i, piece] of pieces.entries()) {
          piece.copy(records, i * 1024)
          records.write('FILE', i * 1024, 'latin1')
        }
        const seen: number[] = []
        for (const at of recordsInUse({ first: 0, records }, 1024, record => seen.push(record * 1024))) seen.push(at)
        expect(seen.every((at, i) => at % 1024 === 0 && at > (seen[i - 1] ?? -1))).toBe(true)
      }),
    )
  })
})

describeWith(volumeTools, 'a file in several records', () => {
  let clean: Buffer
  let base: number
  let extensions: number[]
  beforeAll(async () => {
    clean = await volumeBytes({ size: 4 * 1024 ** 2 }, async folder => {
      const file = join(folder, 'linked')
      writeFileSync(file, pattern(9000))
      for (let i = 0; i < 30; i++) linkSync(file, join(folder, `a longer name of the same file, number ${i}`))
      writeFileSync(join(folder, 'pagefile.sys'), pattern(20_000))
    })
    const holder = recordOf(clean, 'linked')
    base = baseOf(clean, holder) || holder
    extensions = [...Array(20).keys()].map(i => base + 1 + i).filter(number => baseOf(clean, number) === base)
    expect(extensions.length).toBeGreaterThan(1)
  })

  const baseOf = (bytes: Buffer, number: number) => bytes.readUIntLE(recordPlace(bytes, number) + 0x20, 6)
  const all = { exclude: () => true }

  async function check(change: (bytes: Buffer) => void): Promise<readonly string[]> {
    const bytes = Buffer.from(clean)
    change(bytes)
    const { space, codes } = await survey(bytes, all)
    expect(space.leftOut.map(({ path }) => path)).toContain('\\pagefile.sys')
    return codes
  }

  test('is never left out, for it has many names', async () => {
    expect(await check(() => {})).toEqual(['NTFS_NOT_LEFT_OUT'])
  })

  test('an extension record that names another base', async () => {
    await check(bytes => bytes.writeUIntLE(base + 1, recordPlace(bytes, extensions[0]!) + 0x20, 6))
  })

  test('an extension record that claims to be a file, with a list that leads back', async () => {
    await check(bytes => bytes.writeBigUInt64LE(0n, recordPlace(bytes, extensions[0]!) + 0x20))
  })

  test('records that extend each other in a circle', async () => {
    await check(bytes => {
      for (const [i, number] of extensions.entries()) {
        bytes.writeUIntLE(extensions[(i + 1) % extensions.length]!, recordPlace(bytes, number) + 0x20, 6)
      }
    })
  })

  test('a list of which every entry leads to the base itself', async () => {
    await check(bytes => {
      const list = attributePlace(bytes, base, 0x20)
      if (bytes[list + 8] !== 0) return
      const value = list + bytes.readUInt16LE(list + 0x14)
      const end = value + bytes.readUInt32LE(list + 0x10)
      const reference = attributeListEntry.offsetOf('reference')
      for (let entry = value; entry < end; entry += bytes.readUInt16LE(entry + 4)) {
        bytes.writeUIntLE(base, entry + reference, 6)
      }
    })
  })

  test('directories that are in each other', async () => {
    // The root's own record says that the root is in a file; and the file, that it is in itself.
    const name = attributePlace(clean, base, 0x30)
    await check(bytes => bytes.writeUIntLE(base, name + bytes.readUInt16LE(name + 0x14), 6))
  })

  test('each byte of its records turned over', async () => {
    for (const number of [base, extensions[0]!]) {
      const record = recordPlace(clean, number)
      const used = clean.readUInt32LE(record + 0x18)
      for (let at = record; at < record + used; at++) {
        clean[at]! ^= 0xff
        await survey(clean, all)
        clean[at]! ^= 0xff
      }
    }
  })
})

describeWith(volumeTools, 'a $MFT in several records', () => {
  let clean: Buffer
  beforeAll(async () => {
    clean = await volumeBytes({ clusterSize: 512 }, async folder => fragment(folder))
  })

  /** Opens the volume, or is told why not. */
  async function open(bytes: Buffer): Promise<readonly string[]> {
    try {
      return (await openBytes(bytes)).findings.map(({ code }) => code)
    } catch (error) {
      if (!(error instanceof DiskImageError)) throw error
      return [error.code]
    }
  }

  test('each byte of the first one turned over', async () => {
    const record = recordPlace(clean, 0)
    for (let at = record; at < record + 1024; at++) {
      clean[at]! ^= 0xff
      await open(clean)
      clean[at]! ^= 0xff
    }
  })

  test('each byte of the list turned over: found in full, or a finding that it was not', async () => {
    const list = attributePlace(clean, 0, 0x20)
    const runList = list + clean.readUInt16LE(list + 0x20)
    expect(clean[list + 8]).toBe(1)
    const lcn = clean.readUIntLE(runList + 1 + (clean[runList]! & 15), clean[runList]! >>> 4)
    const size = Number(clean.readBigUInt64LE(list + 0x30))
    let incomplete = 0
    for (let at = lcn * 512; at < lcn * 512 + size; at++) {
      clean[at]! ^= 0xff
      if ((await open(clean)).includes('NTFS_MFT_INCOMPLETE')) incomplete++
      clean[at]! ^= 0xff
    }
    expect(incomplete).toBeGreaterThan(10)
  })

  test('of which the second is gone: nothing is left out, nothing that $Bitmap knows is lost', async () => {
    const bytes = Buffer.from(clean)
    // Records 12 to 23 are kept for $MFT itself.
    const extension = [...Array(12).keys()].map(i => 12 + i).find(number => baseSequence(bytes, number) === 1)!
    bytes[recordPlace(bytes, extension) + 0x16] = 0
    const { codes, ranges } = await survey(bytes)
    expect(codes).toEqual(['NTFS_MFT_INCOMPLETE', 'NTFS_UNOWNED_CLUSTERS'])
    expect(ranges).toEqual((await survey(clean)).ranges)
  })
})

/** Of the record that record `number` extends: $MFT's own has sequence 1, and none is 0. */
const baseSequence = (bytes: Buffer, number: number) => bytes.readUInt16LE(recordPlace(bytes, number) + 0x26)
