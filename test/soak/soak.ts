/**
 * npm run soak -- --minutes N --seed S [--from N]
 *
 * Writes to images of every kind, cuts the power at every write and anywhere between flushes, and lets their media fail:
 * what the tests do for seconds, as long as it is told, or until it finds something. A trial is made from the seed and its
 * number alone.
 */
import { parseArgs } from 'node:util'
import { MiB } from '../../lib/binary/size.ts'
import { StorageError } from '../../lib/errors.ts'
import { Random } from '../fuzz/random.ts'
import type { Operation } from '../helpers/recording-device.ts'
import { layersOfEveryKind } from '../vhdx/writable-chains.ts'
import { WriteTrial } from '../vhdx/write-trial.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    from: { type: 'string', default: '0' },
  },
})
const end = Date.now() + Number(values.minutes) * 60_000
let cuts = 0
let number = Number(values.from)
for (; Date.now() < end; number++) cuts += await soak(`${values.seed} ${number}`)
console.log(`nothing found in ${number - Number(values.from)} trials with ${cuts} cuts, seed ${values.seed}`)

async function soak(name: string): Promise<number> {
  const random = new Random(name)
  const blockSize = random.pick([1, 1, 1, 2]) * MiB
  const [kind, layers] = random.pick([...layersOfEveryKind(random.pick([512, 4096]), blockSize)])
  const options = { name: `${name}: ${kind}`, layers, steps: 5 + random.below(50) }
  const trial = await WriteTrial.run(random.onceIn(2) ? { ...options, fault: randomFault(random) } : options)
  await trial.cutEverywhere()
  await trial.cutAnywhere(300, 'soak')
  return trial.medium.moments.length + 300
}

/** Now and then some operations of a kind or of all fail. */
function randomFault(random: Random): (operation: Operation, operations: number) => void {
  const kinds = random.pick<readonly Operation[]>([
    ['read'],
    ['write'],
    ['flush'],
    ['write', 'resize'],
    ['read', 'write', 'resize', 'flush'],
  ])
  const [between, lasts] = [20 + random.below(300), 1 + random.below(20)]
  return (operation, operations) => {
    if (operations % (between + lasts) < between || !kinds.includes(operation)) return
    throw new StorageError('WRITE_ERROR', `${operation} fails`)
  }
}
