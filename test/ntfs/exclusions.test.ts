/** What is left out of a copy, and above all what is not. */
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { hashTree } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith } from '../helpers/tools.ts'
import {
  attributePlace,
  flipCluster,
  onlyRanges,
  placeOf,
  recordOf,
  recordPlace,
  runListPlace,
  survey,
  volumeBytes,
  volumeTools,
  withMounted,
} from './volumes.ts'

const CLUSTER = 4096
const VSS = '{3808876b-c176-4e48-b7ae-04046e6cc752}'
const STORE = `{01234567-89ab-cdef-0123-456789abcdef}${VSS}`
const SVI = 'System Volume Information'
const HEADER = 0x1e00

/** Content that begins with `marker`, which is nowhere else. */
const content = (marker: string, size: number) => Buffer.concat([Buffer.from(marker), pattern(size - marker.length)])

const SIZES = { 'pagefile.sys': 300_000, 'hiberfil.sys': 200_000, 'swapfile.sys': 100_000 } as const
const SHADOW_SIZES = { [VSS]: 65_536, [STORE]: 400_000 }

describeWith(volumeTools, 'files left out', () => {
  let clean: Buffer
  beforeAll(async () => {
    clean = await volumeBytes({ size: 16 * 1024 ** 2 }, async folder => {
      for (const [name, size] of Object.entries(SIZES)) writeFileSync(join(folder, name), content(`is ${name}`, size))
      mkdirSync(join(folder, SVI))
      for (const [name, size] of Object.entries(SHADOW_SIZES)) {
        writeFileSync(join(folder, SVI, name), content(`is ${name}`, size))
      }
      writeFileSync(join(folder, SVI, 'tracking.log'), content('is kept', 20_000))
      mkdirSync(join(folder, 'a/b'), { recursive: true })
      for (const name of ['pagefile.sys', 'HIBERFIL.SYS', VSS, 'large.iso']) {
        writeFileSync(join(folder, 'a/b', name), content(`is below: ${name}`, 50_000))
      }
      writeFileSync(join(folder, 'a/resident.iso'), 'small')
      writeFileSync(join(folder, 'a/linked.iso'), pattern(9000))
      linkSync(join(folder, 'a/linked.iso'), join(folder, 'linked too.iso'))
    })
    writeVssHeader(clean, placeOf(clean, `is ${VSS}`))
  })
  const copyOfClean = () => Buffer.from(clean)

  test('page, hibernation and swap file and shadow copies, wherever no rule forbids it', async () => {
    const { space, ranges, codes } = await survey(clean)
    const clusters = (size: number) => Math.ceil(size / CLUSTER)
    const expected = [
      ...Object.entries(SIZES).map(([name, size]) => ['\\', name, name.split('.')[0]!, size] as const),
      ...Object.entries(SHADOW_SIZES).map(([name, size]) => [`\\${SVI}\\`, name, 'shadow-copies', size] as const),
    ].map(([folder, name, reason, size]) => ({
      path: folder + name,
      reason,
      record: recordOf(clean, name),
      clusters: clusters(size),
      bytes: clusters(size) * CLUSTER,
    }))
    expect([...space.leftOut].sort(byPath)).toEqual(expected.sort(byPath))
    expect(codes).toEqual([])
    expect(space.patches).toEqual([{ offset: HEADER + 0x30, bytes: Buffer.alloc(8), reason: expect.any(String) }])

    const copy = onlyRanges(clean, ranges)
    for (const name of [...Object.keys(SIZES), ...Object.keys(SHADOW_SIZES)]) {
      const start = placeOf(clean, `is ${name}`)
      expect(copy.subarray(start, start + CLUSTER).every(byte => byte === 0)).toBe(true)
    }
    const keptAll = await survey(clean, { keep: new Set(['pagefile', 'hiberfil', 'swapfile', 'shadow-copies']) })
    const left = space.leftOut.reduce((sum, { bytes }) => sum + bytes, 0)
    expect(keptAll.space.usedBytes - left).toBe(space.usedBytes)
    expect(keptAll.space.leftOut).toEqual([])
    expect(keptAll.space.patches).toEqual([])
  })

  test('ntfs-3g finds zeros in them, their sizes unchanged, and every other file as it was', async () => {
    await using files = await scratch()
    const { space, ranges } = await survey(clean)
    const copy = onlyRanges(clean, ranges)
    for (const { offset, bytes } of space.patches) bytes.copy(copy, offset)
    const zeroed = Buffer.from(clean)
    for (const [name, size] of [...Object.entries(SIZES), ...Object.entries(SHADOW_SIZES)]) {
      zeroed.fill(0, placeOf(clean, `is ${name}`), placeOf(clean, `is ${name}`) + size)
    }
    const trees: Record<string, string>[] = []
    for (const [name, bytes] of [
      ['copy', copy],
      ['zeroed', zeroed],
    ] as const) {
      const path = files.path(name)
      await writeFile(path, bytes)
      await withMounted(path, async folder => {
        trees.push(await hashTree(folder))
      })
    }
    expect(Object.keys(trees[0]!).length).toBeGreaterThan(10)
    expect(trees[0]).toEqual(trees[1])
  })

  test.each(['pagefile', 'hiberfil', 'swapfile', 'shadow-copies'] as const)(
    'not %s when it is to be kept',
    async kind => {
      const { space } = await survey(clean, { keep: new Set([kind]) })
      const kinds = new Set(space.leftOut.map(({ reason }) => reason))
      expect(kinds.has(kind)).toBe(false)
      expect(kinds.size).toBe(3)
      expect(space.patches.length).toBe(kind === 'shadow-copies' ? 0 : 1)
    },
  )

  describe('what the user excludes', () => {
    test('by full path, in any folder, without asking for what is never left out', async () => {
      const asked: string[] = []
      const { space, codes } = await survey(clean, {
        exclude: path => {
          asked.push(path)
          return path.startsWith('\\a\\b\\')
        },
      })
      const excluded = space.leftOut.filter(({ reason }) => reason === 'excluded').map(({ path }) => path)
      expect(excluded.sort()).toEqual(
        [VSS, 'HIBERFIL.SYS', 'large.iso', 'pagefile.sys'].map(name => `\\a\\b\\${name}`).sort(),
      )
      expect(codes).toEqual([])
      expect(new Set(asked).size).toBe(asked.length)
      expect(asked.filter(path => path.startsWith('\\$') || path.includes(SVI) || path.includes('resident'))).toEqual(
        [],
      )
    })

    test('but not a file with two names: the other one may be wanted', async () => {
      const { space } = await survey(clean, { exclude: path => path.startsWith('\\a\\linked') })
      expect(space.leftOut.filter(({ reason }) => reason === 'excluded')).toEqual([])
      expect(space.findings).toMatchObject([
        { code: 'NTFS_NOT_LEFT_OUT', message: expect.stringMatching(/more than one name/) },
      ])
    })

    test('a page file that is to be kept can still be excluded by its path', async () => {
      const { space } = await survey(clean, { keep: new Set(['pagefile']), exclude: path => path === '\\pagefile.sys' })
      expect(space.leftOut.find(({ path }) => path === '\\pagefile.sys')?.reason).toBe('excluded')
    })
  })

  test('look-alikes are copied: a directory, a file with two names, one in its record', async () => {
    const bytes = await volumeBytes({}, async folder => {
      mkdirSync(join(folder, 'pagefile.sys'))
      writeFileSync(join(folder, 'pagefile.sys/content'), pattern(10_000))
      writeFileSync(join(folder, 'hiberfil.sys'), pattern(10_000))
      linkSync(join(folder, 'hiberfil.sys'), join(folder, 'other name'))
      writeFileSync(join(folder, 'swapfile.sys'), 'small')
    })
    expect(await objections(bytes)).toEqual([
      '\\hiberfil.sys is copied: it has more than one name',
      '\\pagefile.sys is copied: it is a directory',
      '\\swapfile.sys is copied: it lies in its file record',
    ])
  })

  test('look-alikes are copied: compressed, a reparse point', async () => {
    const bytes = await volumeBytes({ compressed: true }, async folder => {
      writeFileSync(join(folder, 'pagefile.sys'), Buffer.alloc(100_000, 'x'))
      symlinkSync('other', join(folder, 'hiberfil.sys'))
    })
    expect(await objections(bytes)).toEqual([
      '\\hiberfil.sys is copied: it is a reparse point',
      '\\pagefile.sys is copied: it is compressed',
    ])
  })

  describe('a rule broken on disk: copied, and said so', () => {
    const page = () => recordOf(clean, 'pagefile.sys')
    const pageCluster = () => placeOf(clean, 'is pagefile.sys') / CLUSTER

    test('a cluster marked free', async () => {
      const bytes = copyOfClean()
      flipCluster(bytes, pageCluster() + 7)
      const { space, ranges, codes } = await survey(bytes)
      expect(space.leftOut.map(({ path }) => path)).not.toContain('\\pagefile.sys')
      expect(codes).toEqual(['NTFS_OWNED_BUT_FREE', 'NTFS_NOT_LEFT_OUT'])
      const start = pageCluster() * CLUSTER
      const copied = onlyRanges(bytes, ranges).subarray(start, start + SIZES['pagefile.sys'])
      expect(copied.equals(bytes.subarray(start, start + SIZES['pagefile.sys']))).toBe(true)
    })

    test('a cluster that another file owns too', async () => {
      const bytes = copyOfClean()
      const large = runListPlace(bytes, recordOf(bytes, 'large.iso'))
      const lengthSize = bytes[large]! & 15
      bytes.writeUIntLE(pageCluster() + 3, large + 1 + lengthSize, bytes[large]! >>> 4)
      const { space, codes } = await survey(bytes)
      expect(space.leftOut.map(({ path }) => path)).not.toContain('\\pagefile.sys')
      expect([...codes].sort()).toEqual(['NTFS_CROSS_LINKED', 'NTFS_NOT_LEFT_OUT', 'NTFS_UNOWNED_CLUSTERS'])
      expect(space.findings.at(-1)!.message).toMatch(/shares cluster \d+ with another file/)
    })

    test('a runlist that cannot be read', async () => {
      const bytes = copyOfClean()
      bytes[runListPlace(bytes, page())] = 0xff
      expect(await objections(bytes)).toMatchObject([
        expect.stringMatching(/^\\pagefile.sys is copied: it .*header 0xff/),
      ])
    })

    test('a directory that names another use of the record', async () => {
      const bytes = copyOfClean()
      bytes[recordPlace(bytes, page()) + 0x10]! += 1
      expect(await objections(bytes)).toMatchObject([
        expect.stringMatching(/pagefile.sys is copied: it .*another file/),
      ])
    })

    test('a record that names another directory', async () => {
      const bytes = copyOfClean()
      const name = attributePlace(bytes, page(), 0x30)
      bytes[name + bytes.readUInt16LE(name + 0x14)] = recordOf(bytes, 'a')
      expect(await objections(bytes)).toEqual(['\\pagefile.sys is copied: it has another name than its directory says'])
    })

    test('a record that is free', async () => {
      const bytes = copyOfClean()
      bytes[recordPlace(bytes, page()) + 0x16] = 0
      const { space } = await survey(bytes)
      expect(space.leftOut.map(({ path }) => path)).not.toContain('\\pagefile.sys')
    })
  })

  describe('shadow copies go all together or not at all', () => {
    const paths = async (bytes: Buffer) => {
      const { space } = await survey(bytes)
      return {
        shadows: space.leftOut.filter(({ reason }) => reason === 'shadow-copies').length,
        patches: space.patches.length,
      }
    }

    test('one of them has a cluster marked free', async () => {
      const bytes = copyOfClean()
      flipCluster(bytes, placeOf(clean, `is ${STORE}`) / CLUSTER)
      expect(await paths(bytes)).toEqual({ shadows: 0, patches: 0 })
    })

    test('the catalog is elsewhere', async () => {
      const bytes = copyOfClean()
      bytes.writeBigUInt64LE(BigInt(placeOf(clean, 'is kept')), HEADER + 0x30)
      expect(await paths(bytes)).toEqual({ shadows: 0, patches: 0 })
    })

    test('a catalog offset beyond every disk', async () => {
      const bytes = copyOfClean()
      bytes.fill(0xff, HEADER + 0x30, HEADER + 0x38)
      expect(await paths(bytes)).toEqual({ shadows: 0, patches: 0 })
    })

    test('without a header nothing leads to them, so nothing is patched', async () => {
      const bytes = copyOfClean()
      bytes[HEADER]! ^= 1
      expect(await paths(bytes)).toEqual({ shadows: 2, patches: 0 })
    })

    test('a header without a catalog', async () => {
      const bytes = copyOfClean()
      bytes.fill(0, HEADER + 0x30, HEADER + 0x38)
      expect(await paths(bytes)).toEqual({ shadows: 2, patches: 0 })
    })
  })

  test('bad clusters are not read, and that is said', async () => {
    const bytes = copyOfClean()
    const bad = 3000
    // $BadClus:$Bad, one hole as long as the volume: now with two clusters in it.
    const record = recordPlace(bytes, 8)
    let place = attributePlace(bytes, 8, 0x80)
    place += bytes.readUInt32LE(place + 4)
    const clusters = Number(bytes.readBigUInt64LE(place + 0x18)) + 1
    const runList = place + bytes.readUInt16LE(place + 0x20)
    const grown = Buffer.from([0x02, 0, 0, 0x21, 2, 0, 0, 0x02, 0, 0, 0])
    grown.writeUInt16LE(bad, 1)
    grown.writeUInt16LE(bad, 5)
    grown.writeUInt16LE(clusters - bad - 2, 8)
    const length = Math.ceil((runList + grown.length - place) / 8) * 8
    grown.copy(bytes, runList)
    bytes.writeUInt32LE(length, place + 4)
    bytes.writeUInt32LE(0xffffffff, place + length)
    bytes.writeUInt32LE(place + length + 8 - record, record + 0x18)
    flipCluster(bytes, bad)
    flipCluster(bytes, bad + 1)

    const { space, ranges, codes } = await survey(bytes)
    expect(codes).toEqual(['NTFS_BAD_CLUSTERS'])
    expect(onlyRanges(Buffer.alloc(bytes.length, 1), ranges).subarray(bad * CLUSTER, (bad + 2) * CLUSTER)).toEqual(
      Buffer.alloc(2 * CLUSTER),
    )
    expect(space.usedBytes).toBe((await survey(clean)).space.usedBytes)
  })
})

function writeVssHeader(bytes: Buffer, catalog: number): void {
  bytes.fill(0, HEADER, HEADER + 128)
  Buffer.from('6b87083876c1484eb7ae04046e6cc752', 'hex').copy(bytes, HEADER)
  bytes.writeUInt32LE(1, HEADER + 0x10)
  bytes.writeUInt32LE(1, HEADER + 0x14)
  bytes.writeBigUInt64LE(BigInt(HEADER), HEADER + 0x18)
  bytes.writeBigUInt64LE(BigInt(catalog), HEADER + 0x30)
}

/** Why files are copied; nothing is left out then. */
async function objections(bytes: Buffer): Promise<string[]> {
  const { space } = await survey(bytes)
  const told = space.findings.filter(({ code }) => code === 'NTFS_NOT_LEFT_OUT').map(({ message }) => message)
  for (const message of told) {
    const path = message.split(' is copied')[0]!
    expect(space.leftOut.map(left => left.path)).not.toContain(path)
  }
  return told.sort()
}

const byPath = (a: { path: string }, b: { path: string }) => (a.path < b.path ? -1 : 1)
