/** The fuzzer itself, everything it ever found, and a short run of it. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { DiskImageError, FormatError, OutOfRangeError } from '../../lib/errors.ts'
import { CaseRunner, makeCase } from './case.ts'
import { caseOf, readFinding, signatureOf } from './findings.ts'
import type { CaseResult, WrittenCase } from './messages.ts'
import { mutate } from './mutation.ts'
import { BrokenPromise, Observer } from './observer.ts'
import { planted } from './planted.ts'
import { Random } from './random.ts'
import { targets } from './targets/all.ts'
import { WorkerProcess } from './worker-process.ts'

/**
 * Seeds have folders, a dirty log, files without content, WOF streams packed twice, a FAT that is too long; codecs are
 * asked for more than there is.
 */
const SAID_OF_SOUND_SEEDS = new Set([
  'FAT_OVERSIZED',
  'FILES_NOT_READ',
  'LOG_DIRTY',
  'LZX_DATA',
  'NO_SUCH_STREAM',
  'NOT_A_FILE',
  'NTFS_CODED_CONTENT',
  'NTFS_NOT_LEFT_OUT',
  'PARENT_NOT_OPENED',
  'WHOLE_COPY',
  'XPRESS_DATA',
])

describe.each(targets)('$name', target => {
  test('every seed is sound', async () => {
    for (const seed of await target.load()) {
      const codes = await new CaseRunner(target).run({ seed, mutations: [], isSealed: true })
      expect([...codes.keys()].filter(code => !SAID_OF_SOUND_SEEDS.has(code))).toEqual([])
    }
  })

  test('forty cases', async () => {
    const seeds = await target.load()
    const runner = new CaseRunner(target)
    for (let number = 0; number < 40; number++) await runner.run(makeCase(target, seeds, 'smoke', number))
  })
})

describe('what was found', () => {
  const folder = join(import.meta.dirname, 'found')
  test.each(readdirSync(folder))('%s', async name => {
    const found = readFinding(join(folder, name))
    const target = targets.find(target => target.name === found.target)!
    await new CaseRunner(target).run(await caseOf(found, target))
  })
})

describe('a worker', () => {
  const worker = new WorkerProcess(join(import.meta.dirname, 'planted.ts'), 1500)
  afterAll(() => worker.close())

  async function run(firstByte: number): Promise<CaseResult> {
    const mutations = [{ what: '', offset: 0, hex: Buffer.from([firstByte]).toString('hex') }]
    const explicit: WrittenCase = { seed: 'sound', mutations, isSealed: true }
    const results: CaseResult[] = []
    const order = { target: planted.name, seed: '', from: 3, count: 1, explicit }
    await worker.run(order, result => results.push(result))
    expect(results).toMatchObject([{ number: 3 }])
    return results[0]!
  }

  test.each([
    [1, /^TypeError/],
    [2, /a buffer of 629145600 bytes is asked for/],
    [3, /a buffer of 838860800 bytes is asked for/],
    [4, /^hangs$/],
    [5, /^hangs$/],
    [6, /^ends with 7$/],
    [7, /nobody waits for it/],
  ])('catches mistake %i and goes on', async (mistake, failure) => {
    expect((await run(mistake)).failure).toMatch(failure)
    expect((await run(0)).failure).toBeUndefined()
  })
})

describe('a case', () => {
  test('is the same for the same seed and number', async () => {
    const target = targets[0]!
    const [once, again] = [await target.load(), await target.load()]
    const numbers = [...Array(50).keys()]
    const casesOf = (seeds: typeof once, run: string) =>
      numbers.map(number => {
        const { seed, ...rest } = makeCase(target, seeds, run, number)
        return { seed: seed.name, ...rest }
      })
    expect(casesOf(once, 'a')).toEqual(casesOf(again, 'a'))
    expect(casesOf(once, 'a')).not.toEqual(casesOf(once, 'b'))
  })

  test('that changes only what a checksum covers must not read otherwise', async () => {
    const [seed] = await planted.load()
    const change = (offset: number) => ({
      seed: seed!,
      mutations: [{ what: '', offset, hex: 'ff' }],
      isSealed: false,
    })
    const runner = new CaseRunner(planted)
    await expect(runner.run(change(9))).rejects.toThrow('damage that a checksum shows was believed')
    await runner.run(change(5))
  })

  test('changes are made in their order, and not outside', () => {
    const changes = [
      { what: '', offset: 1, hex: 'aabb' },
      { what: '', size: 6 },
      { what: '', offset: 5, hex: 'ccdd' },
      { what: '', offset: 9, hex: 'ee' },
    ]
    expect(mutate(Buffer.alloc(3), changes).toString('hex')).toBe('00aabb0000cc')
  })
})

describe('an observer', () => {
  const attempt = (error: unknown) => new Observer().attempt(() => Promise.reject(error))

  test('takes errors of ours and no others', async () => {
    await attempt(new FormatError('BAD_BYTES', 'a byte is bad'))
    await expect(attempt(new TypeError('no function'))).rejects.toThrow(TypeError)
    await expect(attempt(new OutOfRangeError('OUT_OF_RANGE', 'too far'))).rejects.toThrow(BrokenPromise)
    await expect(attempt(new DiskImageError('BAD', 'at byte undefined'))).rejects.toThrow(BrokenPromise)
  })

  test('wants ranges in order', async () => {
    const pass = async (...offsets: number[]) => {
      const ranges = offsets.map(offset => ({ offset, length: 2 }))
      for await (const _ of new Observer().inOrder(asyncOf(ranges), 10));
    }
    await pass(0, 3, 8)
    await expect(pass(3, 0)).rejects.toThrow('range 0 + 2 after 5')
    await expect(pass(0, 2)).rejects.toThrow(BrokenPromise)
    await expect(pass(9)).rejects.toThrow(BrokenPromise)
  })
})

test('chance spreads evenly', () => {
  const random = new Random('even')
  const counts = Array.from({ length: 10 }, () => 0)
  for (let i = 0; i < 10_000; i++) counts[random.below(10)]! += 1
  for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150)
})

test('failures are alike without their numbers and names', () => {
  const first = "Error: 12 bytes of '/a'\n at read (/x/lib/ntfs/mft.ts:1:2)"
  const second = "Error: 345 bytes of '/b'\n at read (/x/lib/ntfs/mft.ts:9:9)"
  expect(signatureOf('ntfs', first)).toBe(signatureOf('ntfs', second))
  expect(signatureOf('ntfs', first)).not.toBe(signatureOf('fat', first))
})

async function* asyncOf<T>(values: readonly T[]): AsyncIterable<T> {
  yield* values
}
