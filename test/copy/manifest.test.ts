import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GiB, MiB, TiB } from '../../lib/binary/size.ts'
import { MAX_GRAINS } from '../../lib/copy/content-hash.ts'
import { globMatcher, MAX_GLOBS_SIZE } from '../../lib/copy/glob.ts'
import { encodeManifest, type ManifestContent } from '../../lib/copy/manifest.ts'
import { decodeManifest } from '../../lib/copy/read-manifest.ts'
import { USER_METADATA_CAPACITY } from '../../lib/vhdx/new-image.ts'
import { LEFT_OUT_REASONS } from '../../lib/volume/left-out.ts'

const content: ManifestContent = {
  format: 'vhdx-capture',
  formatVersion: 1,
  tool: { name: 'vhdx', version: '1.0.0' },
  source: { path: '/dev/sda', format: 'raw', size: 4 * GiB + 512 },
  started: '2025-01-01T00:00:00.000Z',
  finished: '2025-01-01T00:10:00.000Z',
  forced: false,
  partitionTable: { type: 'gpt', diskId: null },
  partitions: [
    {
      number: 1,
      type: 'Basic data',
      name: 'Größe 大小',
      offset: MiB,
      size: GiB,
      fileSystem: 'NTFS',
      label: null,
      clusterSize: 4096,
      usedClusters: 7,
      usedBytes: 7 * 4096,
    },
  ],
  keep: ['pagefile'],
  exclude: ['*.tmp'],
  leftOut: [
    { partition: 1, path: '\\hiberfil.sys', reason: 'hiberfil', bytes: 4096, clusters: 1, record: 30 },
    { partition: 1, path: '\\a.tmp', reason: 'excluded', bytes: 8192, clusters: 2 },
  ],
  changed: [{ offset: 2 * MiB, length: 16, reason: 'catalog' }],
  readErrors: { bytes: 512, ranges: [{ offset: 1024, length: 512 }], truncated: false },
  findings: [
    { code: 'ONE', message: 'something', details: { record: 5n, list: [1, { deep: null }] } },
    { code: 'TWO', message: 'something else' },
  ],
  hashes: {
    algorithm: 'sha256',
    unit: MiB,
    grain: MiB,
    stretches: [
      [0, 2],
      [4096, 1],
    ],
    digests: Buffer.alloc(96, 1).toString('base64'),
  },
}

const times = <T>(count: number, make: (i: number) => T) => Array.from({ length: count }, (_, i) => make(i))

test('what was encoded is decoded, with the counts', () => {
  const [first, second] = content.findings
  expect(decodeManifest(encodeManifest(content))).toEqual({
    ...content,
    partitionsCount: 1,
    leftOutCount: 2,
    changedCount: 1,
    findings: [{ ...first, details: { ...first!.details, record: '5' } }, second],
    findingsCount: 2,
  })
})

describe('always fits', () => {
  const [partition] = content.partitions
  /** Every grain that is listed has a stretch of its own, at the far end of the largest disk. */
  const hashes = {
    ...content.hashes,
    grain: 8 * GiB,
    stretches: times(MAX_GRAINS, i => [67_000_000 + 2 * i, 1] as const),
    digests: Buffer.alloc(32 * MAX_GRAINS, 0xff).toString('base64'),
  }
  /** As JSON they are 1000 bytes each, and two bytes more for the brackets. */
  const globs = [...times(65, () => 'x'.repeat(997)), 'x'.repeat(MAX_GLOBS_SIZE - 65_000 - 4)]

  /** As much of everything as there can be, all texts made of `character`, `length` long. */
  function worst(character: string, length: number): ManifestContent {
    const long = character.repeat(length)
    return {
      ...content,
      tool: { name: long, version: long },
      source: { path: long, format: long, size: 64 * TiB },
      partitionTable: { type: long, diskId: long },
      partitions: times(8192, () => ({ ...partition!, type: long, name: long, fileSystem: long, label: long })),
      keep: times(5000, i => LEFT_OUT_REASONS[i % LEFT_OUT_REASONS.length]!),
      exclude: globs,
      leftOut: times(3000, i => ({ ...content.leftOut[0]!, path: `${i}${long}` })),
      changed: times(8192, () => ({ offset: 2 ** 53 - 1, length: 2 ** 53 - 1, reason: long })),
      readErrors: {
        bytes: 2 ** 53 - 1,
        ranges: times(1000, () => ({ offset: 2 ** 53 - 1, length: 2 ** 53 - 1 })),
        truncated: false,
      },
      findings: times(600, () => ({ code: 'X', message: long, details: { long, list: times(50, () => 2n ** 64n) } })),
      hashes,
    }
  }

  test.each([
    ['long paths in Chinese', '大', 200],
    ['messages without end', '大', 32_000],
    ['texts that JSON writes six times as long', '\0', 32_000],
    ['half characters', '\ud800', 32_000],
    ['short texts', 'x', 1],
  ])('%s', (_, character, length) => {
    const bytes = encodeManifest(worst(character, length))
    expect(bytes.length).toBeLessThanOrEqual(USER_METADATA_CAPACITY)
    const decoded = JSON.parse(bytes.toString('utf8'))
    expect(decoded).toMatchObject({ partitionsCount: 8192, leftOutCount: 3000, changedCount: 8192, findingsCount: 600 })
    expect(decoded).toMatchObject({ readErrors: { bytes: 2 ** 53 - 1, truncated: true }, hashes, exclude: globs })
    expect(new Set(decoded.keep)).toEqual(new Set(LEFT_OUT_REASONS))
    for (const list of ['partitions', 'leftOut', 'changed', 'findings']) expect(decoded[list].length).toBeGreaterThan(2)
  })

  test('with more to leave out than can be kept, nothing is captured in the first place', () => {
    expect(globMatcher(globs)('\\none')).toBe(false)
    for (const tooLong of [[...globs, 'x'], ['x'.repeat(1001)]]) {
      expect(() => globMatcher(tooLong)).toThrow(expect.objectContaining({ code: 'GLOBS_TOO_LONG' }))
    }
  })
})

describe('decoding throws BAD_MANIFEST and nothing else', () => {
  const good = () => JSON.parse(encodeManifest(content).toString('utf8'))
  const bad = (bytes: Buffer, words: string | RegExp = '') =>
    expect(() => decodeManifest(bytes)).toThrow(
      expect.objectContaining({ name: 'FormatError', code: 'BAD_MANIFEST', message: expect.stringMatching(words) }),
    )
  const encoded = (value: unknown) => Buffer.from(JSON.stringify(value))

  test.each(Object.keys(good()))('for %s missing or of another type', field => {
    for (const value of [undefined, null, 5.5, -1, [5], [null], {}, { 0: 1 }]) {
      bad(encoded({ ...good(), [field]: value }), `its '${field}`)
    }
  })

  test.each(['null', '5', '[]', '{', '', '['.repeat(900_000), '{"format":"vhdx-capture","formatVersion":2}'])(
    'for %.20s',
    json => bad(Buffer.from(json)),
  )

  test('for details nested so deeply that printing them would fail', () => {
    const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`
    const json = JSON.stringify({ ...good(), findings: [{ code: 'X', message: 'x', details: { deep: 'HERE' } }] })
    bad(Buffer.from(json.replace('"HERE"', deep)), "its 'findings\\[0\\].details'")
  })

  test.each([
    ['grain', 0],
    ['grain', MiB + 1],
    ['grain', 3 * MiB],
    // A capture of 4 GiB has grains of 1 MiB even if all of it is used.
    ['grain', 2 * MiB],
    ['grain', 2 ** 45],
    ['unit', 512],
    ['algorithm', 'md5'],
    ['digests', Buffer.alloc(95).toString('base64')],
    ['stretches', [[0, 2]]],
    ['stretches', [[0, 3, 1]]],
    ['stretches', [[0]]],
    ['stretches', [{ 0: 0, 1: 3 }]],
    // Out of order, overlapping, empty, beyond the end: the disk has 4097 grains.
    ['stretches', [[4, 1], [0, 2]]], // biome-ignore format: a row
    ['stretches', [[0, 2], [1, 1]]], // biome-ignore format: a row
    ['stretches', [[0, 3], [5, 0]]], // biome-ignore format: a row
    ['stretches', [[4095, 3]]],
    ['stretches', [[2 ** 53 - 1, 3]]],
  ])('for hashes whose %s is %j', (field, value) => {
    const manifest = good()
    bad(encoded({ ...manifest, hashes: { ...manifest.hashes, [field]: value } }))
  })

  test('whatever is put in place of whatever', () => {
    const paths: (readonly (string | number)[])[] = []
    const collect = (value: unknown, path: readonly (string | number)[]) => {
      paths.push(path)
      if (typeof value !== 'object' || value === null) return
      for (const key of Object.keys(value)) collect(value[key as keyof typeof value], [...path, key])
    }
    collect(good(), [])
    fc.assert(
      fc.property(fc.constantFrom(...paths.slice(1)), fc.jsonValue(), (path, value) => {
        const manifest = good()
        const parent = path.slice(0, -1).reduce((part, key) => part[key], manifest)
        parent[path.at(-1)!] = value
        try {
          decodeManifest(encoded(manifest))
        } catch (error) {
          expect(error).toMatchObject({ name: 'FormatError', code: 'BAD_MANIFEST' })
        }
      }),
      { numRuns: 500 },
    )
  })
})
