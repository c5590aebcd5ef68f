/** Damage costs what is damaged and nothing else, whichever way the files are found. */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { FormatError } from '../../lib/errors.ts'
import type { NtfsEntry } from '../../lib/ntfs/ntfs-entry.ts'
import { collect } from '../helpers/collect.ts'
import { pattern } from '../helpers/pattern.ts'
import { describeWith } from '../helpers/tools.ts'
import { describeAll, scan, sha256, walk } from './listing.ts'
import { attributePlace, openBytes, placeOf, recordOf, recordPlace, volumeBytes, volumeTools } from './volumes.ts'

const KiB = 1024

describeWith(volumeTools, 'files of a damaged volume', () => {
  let clean: Buffer
  let whole: readonly NtfsEntry[]
  beforeAll(async () => {
    clean = await volumeBytes({}, async folder => {
      mkdirSync(join(folder, 'folder/below'), { recursive: true })
      writeFileSync(join(folder, 'folder/torn'), pattern(20_000))
      writeFileSync(join(folder, 'folder/below/kept'), pattern(100))
      const sparse = openSync(join(folder, 'hole first'), 'w')
      writeSync(sparse, pattern(4 * KiB), 0, 4 * KiB, 128 * KiB)
      closeSync(sparse)
      mkdirSync(join(folder, 'many'))
      for (let i = 0; i < 300; i++) closeSync(openSync(join(folder, 'many', `file number ${i}`), 'w'))
    })
    whole = await scan(await filesOf(clean))
    expect(whole.length).toBe(306)
  })

  const damaged = (change: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(clean)
    change(bytes)
    return filesOf(bytes)
  }
  const filesOf = async (bytes: Buffer) => (await openBytes(bytes)).openFiles()
  /** In records and indexes, where its length and its namespace stand before a name. */
  const rename = (bytes: Buffer, from: string, to: string) => {
    const header = String.fromCharCode(from.length)
    const [old, name] = [Buffer.from(header + from, 'utf16le'), Buffer.from(header + to, 'utf16le')]
    for (let at = bytes.indexOf(old); at >= 0; at = bytes.indexOf(old, at)) name.copy(bytes, at)
  }
  const tear = (bytes: Buffer, name: string) => (bytes[recordPlace(bytes, recordOf(bytes, name)) + 510]! ^= 0xff)
  const pathsOf = (entries: readonly NtfsEntry[]) => entries.map(({ path }) => path).sort()
  const codesOf = ({ findings }: { findings: readonly { code: string }[] }) => findings.map(({ code }) => code)

  test('a torn record: its name is listed with the error, and with what the directory knows', async () => {
    const files = await damaged(bytes => tear(bytes, 'torn'))
    const entries = await scan(files)
    expect(pathsOf(entries)).toEqual(pathsOf(whole))
    expect(describeAll(await walk(files, await files.stat('/')))).toEqual(describeAll(entries))
    const torn = await files.stat('/folder/torn')
    expect(torn).toMatchObject({ kind: 'file', size: 20_000, error: { code: 'NTFS_FILE_RECORD' } })
    expect(torn.modified).toBe(whole.find(({ name }) => name === 'torn')!.modified)
    await expect(files.open(torn)).rejects.toThrow(FormatError)
    expect(await files.details(torn)).toMatchObject({ names: [], attributes: [] })
    expect(codesOf(files)).toEqual(['NTFS_DAMAGED_ATTRIBUTE'])
  })

  test('names that cannot be in a path are shown by others, and found by these', async () => {
    const bytes = await volumeBytes({}, async folder => {
      for (const place of ['', 'folder']) {
        mkdirSync(join(folder, place, 'below'), { recursive: true })
        for (const name of ['ж', 'aшb', 'other']) writeFileSync(join(folder, place, name), name)
      }
    })
    rename(bytes, 'ж', '.')
    rename(bytes, 'aшb', 'a/b')
    const files = await filesOf(bytes)
    for (const path of ['/', '/folder']) {
      const entries = await collect(files.list(await files.stat(path)))
      expect(entries.map(({ name }) => name).sort()).toEqual(
        ['a\ufffdb', 'below', 'other', '\ufffd', ...(path === '/' ? ['folder'] : [])].sort(),
      )
      for (const { path, record } of entries) expect(await files.stat(path)).toMatchObject({ path, record })
      expect((await files.stat(`${path}/.`)).path).toBe(path)
    }
    expect(pathsOf(await scan(files))).toEqual(pathsOf(await walk(files, await files.stat('/'))))
    await expect(files.stat('/c\ufffd')).rejects.toMatchObject({ code: 'NO_SUCH_FILE' })
  })

  test('a directory whose index is damaged: a name of exactly that case comes first', async () => {
    const bytes = await volumeBytes({}, async folder => {
      mkdirSync(join(folder, 'cases'))
      for (const name of ['Name', 'name', 'NAME']) writeFileSync(join(folder, 'cases', name), name)
    })
    bytes.writeUInt32LE(0, attributePlace(bytes, recordOf(bytes, 'cases'), 0x90) + 0x20)
    const files = await filesOf(bytes)
    for (const name of ['Name', 'name', 'NAME']) expect((await files.stat(`/cases/${name}`)).name).toBe(name)
    expect((await files.stat('/cases/nAME')).name.toLowerCase()).toBe('name')
  })

  test('a record with two contents: neither is given for the file, in lists as when it is opened', async () => {
    const files = await damaged(bytes => {
      // Its security descriptor becomes another unnamed $DATA.
      bytes.writeUInt32LE(0x80, attributePlace(bytes, recordOf(bytes, 'kept'), 0x50))
    })
    const kept = await files.stat('/folder/below/kept')
    expect(kept.error).toMatchObject({ code: 'NTFS_ATTRIBUTE' })
    await expect(files.open(kept)).rejects.toMatchObject({ code: 'NTFS_ATTRIBUTE' })
  })

  test('the torn record of a directory: what is in it is still found, listed and opened', async () => {
    const files = await damaged(bytes => tear(bytes, 'folder'))
    const entries = await scan(files)
    expect(pathsOf(entries)).toEqual(pathsOf(whole))
    expect(entries.filter(({ error }) => error !== undefined).map(({ path }) => path)).toEqual(['/folder'])
    await expect(collect(files.list(await files.stat('/folder')))).rejects.toThrow(/NTFS file record \d+ at byte/)
    const kept = await files.stat('/folder/BELOW/kept')
    expect(await sha256(await files.open(kept))).toBe(
      await sha256(await (await filesOf(clean)).open(whole.find(({ name }) => name === 'kept')!)),
    )
  })

  test('the torn record of the root: all is found by $MFT', async () => {
    const files = await damaged(bytes => (bytes[recordPlace(bytes, 5) + 510]! ^= 0xff))
    expect(pathsOf(await scan(files))).toEqual(pathsOf(whole))
    expect((await files.stat('/')).error?.code).toBe('NTFS_FILE_RECORD')
    expect((await files.stat('/many/file number 7')).size).toBe(0)
  })

  test('a torn block of a directory: the rest is listed, all is found by $MFT', async () => {
    const files = await damaged(bytes => {
      const block = indexBlocks(bytes)[1]!
      bytes[block + 510]! ^= 0xff
    })
    const listed = await collect(files.list(await files.stat('/many')))
    expect(listed.length).toBeGreaterThan(100)
    expect(listed.length).toBeLessThan(300)
    expect(codesOf(files)).toEqual(['NTFS_DAMAGED_DIRECTORY'])
    expect(pathsOf(await scan(files))).toEqual(pathsOf(whole))
    expect(pathsOf((await collect(files.scan(await files.stat('/many')))).flat()).length).toBe(300)
    const lost = pathsOf(whole).filter(path => path.startsWith('/many/') && !pathsOf(listed).includes(path))
    for (const path of lost.slice(0, 5)) expect((await files.stat(path.toUpperCase())).path).toBe(path)
    await expect(files.stat(`${lost[1]}!`)).rejects.toMatchObject({ code: 'NTFS_INDEX' })
  })

  test('blocks of a directory that lead in circles end', async () => {
    const files = await damaged(bytes => {
      const [root] = indexBlocks(bytes)
      // Every block has a sub-node now, itself.
      for (const block of indexBlocks(bytes)) bytes.copyWithin(block + 4, root! + 4, root! + 4 * KiB)
    })
    await collect(files.list(await files.stat('/many')))
    expect(codesOf(files)).toContain('NTFS_DAMAGED_DIRECTORY')
  })

  test('a directory that became another: what named the old one is told, not listed', async () => {
    const files = await damaged(bytes => {
      const record = recordPlace(bytes, recordOf(bytes, 'below'))
      bytes.writeUInt16LE(bytes.readUInt16LE(record + 0x10) + 1, record + 0x10)
    })
    const paths = pathsOf(await scan(files))
    expect(paths).toEqual(pathsOf(whole).filter(path => path !== '/folder/below/kept'))
    expect(codesOf(files)).toEqual(['NTFS_ORPHANS'])
    expect(files.findings[0]!.message).toContain("'kept'")
  })

  test('a name that leads to a free record is passed over and told', async () => {
    const files = await damaged(bytes => (bytes[recordPlace(bytes, recordOf(bytes, 'torn')) + 0x16]! &= ~1))
    const listed = await collect(files.list(await files.stat('/folder')))
    expect(pathsOf(listed)).toEqual(['/folder/below'])
    expect(codesOf(files)).toEqual(['NTFS_NAME_LEADS_NOWHERE'])
  })

  test('directories that are each in the other are told, not listed', async () => {
    const files = await damaged(bytes => {
      const [outer, inner] = [recordOf(bytes, 'folder'), recordOf(bytes, 'below')]
      const name = attributePlace(bytes, outer, 0x30)
      const parent = name + bytes.readUInt16LE(name + 0x14)
      bytes.writeUIntLE(inner, parent, 6)
      bytes.writeUInt16LE(bytes.readUInt16LE(recordPlace(bytes, inner) + 0x10), parent + 6)
    })
    expect(pathsOf(await scan(files))).toEqual(pathsOf(whole).filter(path => !path.startsWith('/folder')))
    expect(files.findings).toMatchObject([{ code: 'NTFS_ORPHANS', details: { count: 4 } }])
  })

  test('bytes of a record turned over: the others are there', async () => {
    const record = recordPlace(clean, recordOf(clean, 'torn'))
    const others = pathsOf(whole).filter(path => path !== '/folder/torn')
    for (let at = 0; at < 512; at += 5) {
      const files = await damaged(bytes => (bytes[record + at]! ^= 0xff))
      const found = new Set(pathsOf(await scan(files)))
      expect(others.filter(path => !found.has(path))).toEqual([])
      expect(pathsOf(await collect(files.list(await files.stat('/folder'))))).toContain('/folder/below')
    }
  })

  test('a hole at the start that no flag tells of reads as zeros', async () => {
    const files = await damaged(bytes => {
      const data = attributePlace(bytes, recordOf(bytes, 'hole first'), 0x80)
      bytes.writeUInt16LE(0, data + 0xc)
      for (const size of [0x30, 0x38]) bytes.writeBigUInt64LE(100n, data + size)
    })
    const content = await files.open(await files.stat('/hole first'))
    const bytes = pattern(content.size)
    await content.read(0, bytes)
    expect(bytes).toEqual(Buffer.alloc(100))
  })

  test('a damaged $UpCase: names are found by the capitals everybody knows', async () => {
    const files = await damaged(bytes => bytes.fill(0, upcasePlace(bytes), upcasePlace(bytes) + 512))
    expect((await files.stat('/FOLDER/Below/KEPT')).size).toBe(100)
  })

  /** Where the blocks of the directory `many` begin. */
  function indexBlocks(bytes: Buffer): number[] {
    const blocks: number[] = []
    for (let at = bytes.indexOf('INDX'); at >= 0; at = bytes.indexOf('INDX', at + 4 * KiB)) {
      if (bytes.includes(Buffer.from('file number', 'utf16le'), at) && bytes.readUInt32LE(at + 0x1c) > 0)
        blocks.push(at)
    }
    return blocks.filter(block =>
      bytes.subarray(block, block + 4 * KiB).includes(Buffer.from('file number', 'utf16le')),
    )
  }

  /** Where $UpCase lies, by its first lines. */
  function upcasePlace(bytes: Buffer): number {
    const capital = (unit: number) => String.fromCharCode(unit).toUpperCase().charCodeAt(0)
    return placeOf(bytes, Buffer.from(Uint16Array.from({ length: 0x80 }, (_, unit) => capital(unit)).buffer))
  }
})
