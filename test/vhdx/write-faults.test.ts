/** What is under an image fails while it is written: whoever asked is told, and nothing is lost that was flushed before. */
import { describe, expect, test } from 'vitest'
import { StorageError } from '../../lib/errors.ts'
import type { Operation } from '../helpers/recording-device.ts'
import { layersOfEveryKind } from './writable-chains.ts'
import { WriteTrial } from './write-trial.ts'

/** How media fail, and what they fail at. */
const FAULTS = [
  { code: 'READ_ERROR', operations: ['read'], lasts: 40 },
  { code: 'SHORT_READ', operations: ['read'], lasts: 1 },
  { code: 'WRITE_ERROR', operations: ['write'], lasts: 1 },
  { code: 'WRITE_ERROR', operations: ['flush'], lasts: 1 },
  { code: 'NO_SPACE', operations: ['write', 'resize'], lasts: 25 },
  { code: 'DEVICE_GONE', operations: ['read', 'write', 'resize', 'flush'], lasts: 25 },
] as const satisfies readonly { code: string; operations: readonly Operation[]; lasts: number }[]

/** Each so many operations one of them fails. */
const STRIDE = 17

describe('an image on a medium that fails', () => {
  for (const [kind, layers] of layersOfEveryKind(512)) {
    if (kind === 'dynamic, empty') continue
    for (const { code, operations, lasts } of FAULTS) {
      test(`${kind}: ${code} of ${operations.join(', ')}`, async () => {
        const whole = await WriteTrial.run({ name: `${kind} ${code}`, layers, steps: 10, fault: () => {} })
        for (let from = 1; from < whole.medium.operations; from += STRIDE) {
          let failed: Operation | undefined
          const trial = await WriteTrial.run({
            name: `${kind} ${code}`,
            layers,
            steps: 10,
            fault: (operation, number) => {
              const isDue = number >= from && number < from + lasts
              if (!isDue || !(operations as readonly Operation[]).includes(operation)) return
              failed ??= operation
              throw new StorageError(code, `${operation} fails`)
            },
          })
          await trial.cutAnywhere(10, `${from}`)
          // A read may be tried again in smaller pieces, and less room be asked for.
          if (failed === 'write' || failed === 'flush') expect(trial.failures.length).toBeGreaterThan(0)
          for (const failure of trial.failures) expect([code, 'WRITE_FAILED_BEFORE']).toContain(failure.code)
        }
      })
    }
  }
})
