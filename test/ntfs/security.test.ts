/** Security descriptors: the bytes and parts that ntfs-3g's audit finds, and the text that Windows writes. */
import { describe, expect, test } from 'vitest'
import { FileDevice } from '../../lib/device/file-device.ts'
import { SliceDevice } from '../../lib/device/slice-device.ts'
import { FormatError, hex, UnsupportedError } from '../../lib/errors.ts'
import { securityIdOf } from '../../lib/ntfs/file-identifiers.ts'
import { Mft } from '../../lib/ntfs/mft.ts'
import { NtfsFile } from '../../lib/ntfs/ntfs-file.ts'
import { NtfsVolume } from '../../lib/ntfs/ntfs-volume.ts'
import { formatSddl } from '../../lib/ntfs/sddl.ts'
import { type AccessControlList, decodeSecurityDescriptor } from '../../lib/ntfs/security-descriptor.ts'
import { SecurityStore } from '../../lib/ntfs/security-store.ts'
import { type CorpusImage, corpusImages } from '../helpers/corpus.ts'
import { run } from '../helpers/run.ts'
import { testWith } from '../helpers/tools.ts'
import { scan } from './listing.ts'

/** Whether it is a volume and no disk: the program takes nothing else. */
const isVolume = (image: CorpusImage) => image.expected().partitions[0]!.startSector === 0

for (const image of corpusImages('ntfs').filter(isVolume)) {
  testWith(['corpus', 'tar', 'xz', 'ntfssecaudit'], `${image.name}: what ntfssecaudit finds is found`, async () => {
    const path = await image.unpack()
    await using device = await FileDevice.open(path)
    const volume = await NtfsVolume.open(device)
    const mft = await Mft.open(device, volume.geometry, [])
    const store = await SecurityStore.open(mft)
    const seen = new Set<number>()
    for (const entry of await scan(await volume.openFiles())) {
      const id = securityIdOf(await NtfsFile.open(mft, entry.reference))
      if (id === 0 || seen.has(id)) continue
      seen.add(id)
      const audit = await run('ntfssecaudit', ['-vv', path, entry.path], { exitCodes: [0, 1] })
      const found = (await store.find(id))!
      expect(found.bytes.toString('hex')).toBe(bytesOf(audit.stdout))
      const { owner, group, dacl, sacl } = decodeSecurityDescriptor(found.bytes, found.position)
      expect([owner, group, ...linesOf(dacl), ...linesOf(sacl)].join('\n')).toBe(partsOf(audit.stdout).join('\n'))
    }
    expect(await store.find(1)).toBeUndefined()
  })
}

/** The dump that ntfssecaudit begins with: an offset of six digits, then words of eight. */
const bytesOf = (audit: string) =>
  [...audit.matchAll(/^ {8}[0-9a-f]{6} ((?: [0-9a-f]{8})+)$/gm)].map(([, words]) => words!.replaceAll(' ', '')).join('')

const linesOf = (list: AccessControlList | undefined) =>
  (list ?? []).map(({ type, flags, mask, sid }) => `${type} ${hex(flags)} ${hex(mask)} ${sid}`)

/** The SIDs of owner and group, then type, flags, mask and SID of each entry. */
function partsOf(audit: string): string[] {
  const one = (text: string, pattern: RegExp) => pattern.exec(text)![1]!
  const [head, ...entries] = audit.split(/^ {4}ACE \d+ at/m)
  return [
    one(head!, /O:dec (\S+)/),
    one(head!, /G:dec (\S+)/),
    ...entries.map(entry =>
      [/type {5}(\S+)/, /flags {4}(\S+)/, /Acc rgts (\S+)/, /dec (S-\S+)/]
        .map(pattern => one(entry, pattern))
        .join(' '),
    ),
  ]
}

test('what Windows gives to a folder on a new volume, as its own tools write it', async context => {
  const image = corpusImages('ntfs').find(({ name }) => name === 'ntfs/velociraptor/test.ntfs.dd')
  if (image === undefined) return context.skip('there is no corpus')
  await using disk = await FileDevice.open(await image.unpack())
  const { startSector, sectors } = image.expected().partitions[0]!
  const volume = await NtfsVolume.open(new SliceDevice(disk, { offset: startSector * 512, length: sectors * 512 }))
  const files = await volume.openFiles()
  const { sddl } = await files.details(await files.stat('/Folder A'))
  const machine = 'S-1-5-21-2378245050-552909339-522783033'
  expect(sddl).toBe(
    `O:${machine}-1001G:${machine}-513D:(A;;FA;;;BA)(A;OICIIO;GA;;;BA)(A;;FA;;;SY)(A;OICIIO;GA;;;SY)` +
      '(A;;0x1301bf;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;;0x1200a9;;;BU)(A;OICIIO;GXGR;;;BU)',
  )
})

describe('a descriptor by hand', () => {
  /** S-1-5-18. */
  const SYSTEM = '010100000000000512000000'
  const bytesOf = (hexText: string) => Buffer.from(hexText.replaceAll(' ', ''), 'hex')
  const sddlOf = (hexText: string) => formatSddl(decodeSecurityDescriptor(bytesOf(hexText), 0))
  /** With `control` and one list of one entry `ace`, as DACL or SACL; no owner and no group. */
  function withEntry(ace: string, kind: 'dacl' | 'sacl' = 'dacl', control = kind === 'dacl' ? 0x8004 : 0x8010): string {
    const size = Buffer.alloc(2)
    const aceBytes = bytesOf(ace)
    aceBytes.writeUInt16LE(aceBytes.length, 2)
    size.writeUInt16LE(8 + aceBytes.length)
    const flags = Buffer.alloc(2)
    flags.writeUInt16LE(control)
    const offsets = kind === 'dacl' ? '00000000 14000000' : '14000000 00000000'
    return `0100${flags.toString('hex')} 00000000 00000000 ${offsets} 0200${size.toString('hex')}01000000 ${aceBytes.toString('hex')}`
  }

  test.each([
    ['an audit entry', `0240 0000 ff011f00 ${SYSTEM}`, 'sacl', 'S:(AU;SA;FA;;;SY)'],
    ['a label', `1100 0000 01000000 010100000000001000100000`, 'sacl', 'S:(ML;;NW;;;LW)'],
    ['letters for every bit', `0103 0000 00000100 ${SYSTEM}`, 'dacl', 'D:(D;OICI;SD;;;SY)'],
    ['a number where there are not', `0010 0000 00021000 ${SYSTEM}`, 'dacl', 'D:(A;ID;0x100200;;;SY)'],
    [
      'an entry about an object',
      `0500 0000 00010000 01000000 78563412 3412 3412 1234567812345678 ${SYSTEM}`,
      'dacl',
      'D:(OA;;CR;12345678-1234-1234-1234-567812345678;;SY)',
    ],
  ] as const)('%s', (_, ace, kind, sddl) => {
    expect(sddlOf(withEntry(ace, kind))).toBe(sddl)
  })

  test('flags of a list', () => {
    expect(sddlOf(withEntry(`0000 0000 ff011f00 ${SYSTEM}`, 'dacl', 0x9504))).toBe('D:PARAI(A;;FA;;;SY)')
  })

  test('a list that is not there, and one that lets everybody do everything', () => {
    expect(sddlOf(`01000080 14000000 14000000 00000000 00000000 ${SYSTEM}`)).toBe('O:SYG:SY')
    expect(sddlOf('01000480 00000000 00000000 00000000 00000000')).toBe('D:NO_ACCESS_CONTROL')
  })

  test('a large authority is written as a number of twelve digits', () => {
    expect(sddlOf('01000080 14000000 00000000 00000000 00000000 0101 010000000000 05000000')).toBe(
      'O:S-1-0x010000000000-5',
    )
  })

  test('an entry with a condition is not put into words', () => {
    expect(() => sddlOf(withEntry(`0900 0000 ff011f00 ${SYSTEM} 61727478`))).toThrow(UnsupportedError)
  })

  test('each byte turned over: right, or an error of ours', () => {
    const clean = bytesOf(withEntry(`0000 0000 ff011f00 ${SYSTEM}`))
    for (let at = 0; at < clean.length; at++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const bytes = Buffer.from(clean)
        bytes[at] = value
        try {
          formatSddl(decodeSecurityDescriptor(bytes, 0))
        } catch (error) {
          expect(error instanceof FormatError || error instanceof UnsupportedError).toBe(true)
        }
      }
      expect(() => decodeSecurityDescriptor(clean.subarray(0, at), 0)).toThrow(FormatError)
    }
  })
})
