import { describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import type { Range } from '../../lib/device/ranges.ts'
import { DiskImageError } from '../../lib/errors.ts'
import { UndoFile } from '../../lib/undo/undo-file.ts'
import { writeUndoFile } from '../../lib/undo/undo-writer.ts'
import { pattern } from '../helpers/pattern.ts'

const MiB = 1024 ** 2

/** The undo file of what makes `after` of `before`. */
async function undoFile(
  before: Buffer,
  after: Buffer,
  stages: readonly (readonly Range[])[],
  report = 'why',
): Promise<MemoryDevice> {
  const undo = new MemoryDevice(0, { growable: true })
  const change = {
    before: new MemoryDevice(before),
    after: new MemoryDevice(after),
    stages: stages.map(ranges => ({ ranges: () => ranges })),
  }
  await writeUndoFile(undo, change, { report: Buffer.from(report) })
  return undo
}

const WHOLE = { offset: 0, length: 2 * MiB }

describe('what is kept', () => {
  const before = pattern(2 * MiB)
  const after = Buffer.from(before)
  after.fill(0, 5000, 6000).fill(7, MiB - 10, MiB + 10)

  test('is what differs, and nothing else', async () => {
    const undo = await undoFile(before, after, [[], [WHOLE]])
    // Pages of 4 KiB: one in which zeros lie, and two on both sides of a MiB, before and after.
    expect(undo.size).toBe(64 + 3 + 3 * (32 + 2 * 4096) + 32)
    const opened = (await UndoFile.open(undo))!
    expect([opened.sizeBefore, opened.sizeAfter, opened.report.toString()]).toEqual([2 * MiB, 2 * MiB, 'why'])
  })

  test('is finished, and taken back', async () => {
    const opened = (await UndoFile.open(await undoFile(before, after, [[], [WHOLE]])))!
    const file = new MemoryDevice(Buffer.from(before))
    expect(await opened.stateOf(file)).toBe('before')
    await opened.redo(file)
    expect([file.content.equals(after), await opened.stateOf(file)]).toEqual([true, 'after'])
    before.copy(file.content, 0, 0, MiB)
    expect(await opened.stateOf(file)).toBe('between')
    await opened.undo(file)
    expect([file.content.equals(before), await opened.stateOf(file)]).toEqual([true, 'before'])
  })

  test.each([
    ['longer', 2 * MiB, 3 * MiB + 100],
    ['shorter', 3 * MiB + 100, 2 * MiB],
    ['of an odd length', 2 * MiB + 100, 2 * MiB + 700],
  ])('of a file that becomes %s', async (_, sizeBefore, sizeAfter) => {
    const [old, young] = [pattern(sizeBefore), pattern(sizeAfter)]
    const growth = { offset: sizeBefore, length: Math.max(0, sizeAfter - sizeBefore) }
    const opened = (await UndoFile.open(await undoFile(old, young, [[], [growth]])))!
    const file = new MemoryDevice(Buffer.from(old))
    await opened.redo(file)
    expect(file.content.equals(young)).toBe(true)
    await opened.undo(file)
    expect(file.content.equals(old)).toBe(true)
  })

  test('zeros take no room', async () => {
    const undo = await undoFile(Buffer.alloc(2 * MiB), Buffer.alloc(50 * MiB), [
      [],
      [{ offset: 2 * MiB, length: 48 * MiB }],
    ])
    expect(undo.size).toBeLessThan(4096)
  })
})

describe('an undo file that is not whole', () => {
  const before = pattern(MiB)
  const after = Buffer.alloc(MiB, 5)

  test('has changed nothing: cut anywhere, or empty', async () => {
    const { content } = await undoFile(
      before,
      after,
      [[], [WHOLE]].map(ranges => ranges.map(() => ({ offset: 0, length: MiB }))),
    )
    for (let size = 0; size < content.length; size += size < 200 ? 1 : 40_000) {
      const file = new MemoryDevice(content.subarray(0, size))
      // Too short to be told from any other file.
      if (size > 0 && size < 8) await expect(UndoFile.open(file)).rejects.toMatchObject({ code: 'NO_UNDO_FILE' })
      else expect(await UndoFile.open(file)).toBeUndefined()
    }
    expect(await UndoFile.open(new MemoryDevice(Buffer.alloc(5000)))).toBeUndefined()
  })

  test('is no undo file at all', async () => {
    await expect(UndoFile.open(new MemoryDevice(Buffer.from('a letter to my mother')))).rejects.toMatchObject({
      code: 'NO_UNDO_FILE',
    })
  })

  test('any byte of it changed: an error of ours, or nothing that depends on it', async () => {
    const { content } = await undoFile(before.subarray(0, 8192), after.subarray(0, 8192), [
      [],
      [{ offset: 0, length: 8192 }],
    ])
    for (let at = 0; at < content.length; at += at < 200 || at > content.length - 40 ? 1 : 101) {
      const damaged = Buffer.from(content)
      damaged[at]! ^= 0xff
      const file = new MemoryDevice(Buffer.from(before.subarray(0, 8192)))
      try {
        const opened = await UndoFile.open(new MemoryDevice(damaged))
        if (opened === undefined) continue
        // Reserved bytes are under the checksums too, so what passes is whole.
        await opened.stateOf(file)
        expect.unreachable(`byte ${at} is not guarded`)
      } catch (error) {
        if (!(error instanceof DiskImageError)) throw error
      }
    }
  })
})

test('a mark is a state of its own, and not the end', async () => {
  const before = new MemoryDevice(Buffer.alloc(8192, 1))
  const after = new MemoryDevice(Buffer.alloc(8192, 3))
  const mark = new MemoryDevice(Buffer.alloc(8192, 2))
  const first = { offset: 0, length: 4096 }
  const undo = new MemoryDevice(0, { growable: true })
  const stages = [
    { ranges: () => [first], after: mark },
    { ranges: () => [{ offset: 4096, length: 4096 }] },
    { ranges: () => [first] },
  ]
  await writeUndoFile(undo, { before, after, stages }, { report: Buffer.alloc(0) })
  const opened = (await UndoFile.open(undo))!
  const marked = new MemoryDevice(Buffer.concat([Buffer.alloc(4096, 2), Buffer.alloc(4096, 1)]))
  expect(await opened.stateOf(marked)).toBe('between')
  await opened.redo(marked)
  expect(marked.content.equals(after.content)).toBe(true)
})

test('stops when it is told to', async () => {
  const options = { report: Buffer.alloc(0), signal: AbortSignal.abort(new Error('stopped')) }
  const change = {
    before: new MemoryDevice(pattern(MiB)),
    after: new MemoryDevice(MiB),
    stages: [{ ranges: () => [WHOLE] }],
  }
  await expect(writeUndoFile(new MemoryDevice(0, { growable: true }), change, options)).rejects.toThrow('stopped')
})
