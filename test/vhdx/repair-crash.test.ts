/** Power cuts while an image is repaired, or made what it was: done again it is finished, and going back still works. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { UndoFile } from '../../lib/undo/undo-file.ts'
import { CrashingFile, PowerCut } from './crashing-file.ts'
import { LOG_GUID, logEntry, putInLog } from './log-entries.ts'
import { prepareRepair } from './repair-image.ts'
import { BAT_AT, TestImage } from './test-image.ts'

/** What of the cache the medium had when the power was cut: each write or not, and how much of it. */
const survivals = fc.array(fc.tuple(fc.boolean(), fc.nat(2100)), { minLength: 1, maxLength: 6 })

interface Damage {
  readonly name: string
  readonly change: (image: TestImage) => void
}

const DAMAGES: readonly Damage[] = [
  {
    name: 'a bad header and a bad region table',
    change: image => image.flip(0x10010, 0x30018),
  },
  { name: 'a file that was cut', change: image => cut(image, 6 * MiB - 1000) },
  {
    name: 'a dirty log, two blocks in one place, and space behind the end',
    change: image => {
      image.content = Buffer.concat([image.content, Buffer.alloc(2 * MiB + 512, 7)])
      image.setBat(1, 6, 5)
      const bytes = Buffer.from(image.content.subarray(BAT_AT, BAT_AT + 4096))
      image.setBat(1, 4)
      image.editHeaders({ logGuid: LOG_GUID })
      putInLog(image, 0, logEntry({ sequenceNumber: 5n, data: [{ fileOffset: BAT_AT, bytes }] }))
    },
  },
]

function cut(image: TestImage, size: number): void {
  image.content = image.content.subarray(0, size)
}

describe.each(DAMAGES)('$name', ({ change }) => {
  const prepared = (async () => {
    const image = await TestImage.make({ virtualSize: 8 * MiB, blockSize: MiB }, [0, 3, 7])
    change(image)
    const { undo } = await prepareRepair(image.content)
    const file = (await UndoFile.open(undo))!
    const repaired = new MemoryDevice(Buffer.from(image.content))
    await file.redo(repaired)
    return { original: image.content, repaired: repaired.content, file }
  })()

  /** How many writes and flushes `work` does. */
  const operationsOf = async (content: Buffer, work: (file: CrashingFile) => Promise<void>) => {
    const file = new CrashingFile(Buffer.from(content))
    await work(file)
    return file.operations
  }

  test.each(['redo', 'undo'] as const)('%s, cut off anywhere', async verb => {
    const { original, repaired, file: undo } = await prepared
    const start = verb === 'redo' ? original : repaired
    const operations = await operationsOf(start, file => undo[verb](file))
    expect(operations).toBeGreaterThan(4)
    await fc.assert(
      fc.asyncProperty(fc.nat(operations - 1), survivals, fc.boolean(), async (limit, survives, goBack) => {
        const crashing = new CrashingFile(Buffer.from(start), limit)
        await expect(undo[verb](crashing)).rejects.toThrow(PowerCut)
        const file = new MemoryDevice(Buffer.from(crashing.afterCrash(survives)))
        expect(await undo.stateOf(file)).not.toBe('other')
        // Whatever was being done, either can be done now.
        await undo[goBack ? 'undo' : 'redo'](file)
        expect(file.content.equals(goBack ? original : repaired)).toBe(true)
        expect(await undo.stateOf(file)).toBe(goBack ? 'before' : 'after')
      }),
      { numRuns: 40 },
    )
  })

  test('a byte that is neither is noticed, wherever it is', async () => {
    const { original, repaired, file: undo } = await prepared
    const changed: number[] = []
    const common = Math.min(original.length, repaired.length)
    for (let at = 0; at + 512 <= common; at += 512) {
      if (!original.subarray(at, at + 512).equals(repaired.subarray(at, at + 512))) changed.push(at)
    }
    expect(changed.length).toBeGreaterThan(2)
    for (const at of changed.slice(0, 20)) {
      const file = new MemoryDevice(Buffer.from(repaired))
      // No byte that either of them has there.
      file.content[at] = 0xb7
      file.content[at + 1] = 0xb7
      expect(await undo.stateOf(file)).toBe('other')
    }
    expect(await undo.stateOf(new MemoryDevice(repaired.subarray(0, repaired.length - MiB)))).toBe('other')
  })
})
