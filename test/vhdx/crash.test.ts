/**
 * The power is cut while an image is written: at every write, with any part of what was not flushed. Then each sector is
 * what it was at the last flush or what was written to it since, and the image is sound.
 */
import { describe, test } from 'vitest'
import { layersOfEveryKind } from './writable-chains.ts'
import { WriteTrial } from './write-trial.ts'

describe('an image whose power is cut', () => {
  for (const sectorSize of [512, 4096]) {
    for (const [kind, layers] of layersOfEveryKind(sectorSize)) {
      const name = `${kind}, sectors of ${sectorSize} bytes`
      test(name, async () => {
        const trial = await WriteTrial.run({ name, layers, steps: 24 })
        await trial.cutEverywhere()
        await trial.cutAnywhere(1000, 'subsets')
      })
    }
  }
})
