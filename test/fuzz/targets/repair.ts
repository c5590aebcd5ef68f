/** The repair of VHDX: what comes out is clean, reads as before where it could be read, and can be made what it was. */
import { MemoryDevice } from '../../../lib/device/memory-device.ts'
import { checkVhdx } from '../../../lib/vhdx/check.ts'
import { REPAIRS } from '../../../lib/vhdx/repairs.ts'
import { pattern } from '../../helpers/pattern.ts'
import { differences, readable, repair, takenBack } from '../../vhdx/repair-image.ts'
import type { Target } from '../target.ts'
import { vhdx } from './vhdx.ts'

/** The disk that children are changes of; how it is found is no matter of repair. */
const PARENT = new MemoryDevice(pattern(2 ** 23, 17), { readOnly: true })

/** Files that would become larger are not written here: a BAT that has to be made whole has up to 513 MiB. */
const MAX_SIZE = 2 ** 26

export const repairs: Target = {
  name: 'repair',
  load: () => vhdx.load(),
  seal: (content, seed) => vhdx.seal(content, seed),

  async exercise(content, observer) {
    // What a repair may be refused without, it gets.
    for (const choices of [{}, { header: 1, log: 'discard' }] as const) {
      await observer.attempt(async () => {
        const repaired = await repair(content, choices, MAX_SIZE)
        const { problems } = await checkVhdx(new MemoryDevice(repaired.content))
        const left = problems.find(({ code }) => REPAIRS[code].fate !== 'left')
        observer.claim(left === undefined, `after a repair, ${left?.message}`)
        const [before, after] = [await readable(content, PARENT), await readable(repaired.content, PARENT)]
        const changed = differences(before, after, repaired.plan.lost.ranges)
        observer.claim(changed.length === 0, `stretches ${changed} of the disk are not what they were`)
        observer.claim((await takenBack(repaired)).equals(content), 'going back leads elsewhere')
        observer.findings(repaired.plan.findings)
        observer.findings(repaired.plan.steps)
        observer.note(...after)
      })
    }
  },
}
