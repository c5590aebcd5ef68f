/**
 * The process that runs the cases, so that one that hangs or takes the memory can be ended. Its argument is the module
 * with the targets. It says before each case which one it is, and afterwards what came of it.
 */
import { CaseRunner, makeCase } from './case.ts'
import { MEMORY_LIMIT, memoryMeter, watchBuffers } from './memory.ts'
import type { Order, Result } from './messages.ts'
import { BrokenPromise } from './observer.ts'
import type { Seed, Target } from './target.ts'

/** Milliseconds of processor time that a case may take. */
const TIME_LIMIT = 10_000

interface Loaded {
  readonly target: Target
  readonly seeds: readonly Seed[]
  readonly runner: CaseRunner
}

const { targets }: { targets: readonly Target[] } = await import(process.argv[2]!)
const loaded = new Map<string, Promise<Loaded>>()
/** Of the case that runs; an error nobody waited for belongs to it. */
let stray: unknown

watchBuffers()
process.on('unhandledRejection', error => {
  stray ??= error
})
process.on('message', (order: Order) =>
  obey(order).catch(error => {
    console.error(error)
    process.exit(1)
  }),
)
// Ctrl-C reaches all processes of a terminal; the fuzzer itself says when this one is to end.
process.on('SIGINT', () => {})
process.on('disconnect', () => process.exit())
process.send!('ready')

async function obey(order: Order): Promise<void> {
  const { target, seeds, runner } = await load(order.target)
  for (let number = order.from; number < order.from + order.count; number++) {
    process.send!({ kind: 'begins', number } satisfies Result)
    const made = order.explicit
      ? { ...order.explicit, seed: seeds.find(({ name }) => name === order.explicit!.seed)! }
      : makeCase(target, seeds, order.seed, number)
    process.send!({ kind: 'ended', number, ...(await run(() => runner.run(made))) } satisfies Result)
  }
  process.send!({ kind: 'done' } satisfies Result)
}

function load(name: string): Promise<Loaded> {
  const target = targets.find(target => target.name === name)!
  const known = loaded.get(name) ?? target.load().then(seeds => ({ target, seeds, runner: new CaseRunner(target) }))
  loaded.set(name, known)
  return known
}

async function run(work: () => Promise<ReadonlyMap<string, number>>) {
  const start = process.cpuUsage()
  const memoryOf = memoryMeter()
  const measures = () => {
    const { user, system } = process.cpuUsage(start)
    return { time: (user + system) / 1000, memory: memoryOf() }
  }
  try {
    const codes = await work()
    // An error nobody waited for is told of when there is nothing else to do.
    await new Promise(resolve => setImmediate(resolve))
    if (stray !== undefined) throw stray
    const { time, memory } = measures()
    if (time > TIME_LIMIT) throw new BrokenPromise('it takes too long')
    if (memory > MEMORY_LIMIT) throw new BrokenPromise('it takes too much memory')
    return { codes: [...codes], ...measures() }
  } catch (error) {
    return { codes: [], ...measures(), failure: told(error) }
  } finally {
    stray = undefined
  }
}

/** With the causes of an error: where it began is in the last of them. */
function told(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.stack! : `${error.stack}\ncaused by ${told(error.cause)}`
}
