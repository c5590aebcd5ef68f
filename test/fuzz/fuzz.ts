/**
 * npm run fuzz: damages the samples and images of them, case after case, and reads what is left. Each case has to end
 * with an answer that keeps its promises or with a DiskImageError: soon, and without much memory. A case is made from
 * its number alone, so that `npm run fuzz -- --from N --count 1` does it again. Runs until stopped, or --count times.
 */
import { fork } from 'node:child_process'
import { parseArgs } from 'node:util'
import { loadSubjects, runCase } from './cases.ts'

/** Much longer than any case takes. */
const HANG = 30_000
const MEMORY = 400 * 1024 ** 2

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '0' },
    count: { type: 'string', default: 'Infinity' },
    child: { type: 'boolean', default: false },
  },
})
const [from, count] = [Number(values.from), Number(values.count)]
if (values.child) await work()
else watch()

/** Runs the cases in a process of its own, which can be stopped when one of them hangs. */
function watch(): void {
  const child = fork(import.meta.filename, [...process.argv.slice(2), '--child'])
  let current = from
  let alarm = setTimeout(() => {}, 0)
  const outcomes = new Map<string, number>()
  const report = () => {
    console.log(`${current - from} cases`)
    for (const [outcome, times] of [...outcomes].sort((a, b) => b[1] - a[1]))
      console.log(`${String(times).padStart(9)}  ${outcome}`)
  }
  child.on('message', ({ number, outcome }: { number: number; outcome: string }) => {
    current = number + 1
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    clearTimeout(alarm)
    alarm = setTimeout(() => {
      child.kill('SIGKILL')
      console.error(`FAILED: case ${current} hangs`)
      process.exitCode = 1
    }, HANG)
    if (current % 1000 === 0) report()
  })
  child.on('exit', exitCode => {
    clearTimeout(alarm)
    report()
    if (exitCode !== 0) process.exitCode = 1
  })
}

async function work(): Promise<void> {
  const subjects = await loadSubjects()
  process.send!({ number: from - 1, outcome: 'started' })
  const start = process.memoryUsage().rss
  for (let number = from; number < from + count; number++) {
    try {
      const outcome = await runCase(subjects, number)
      const grown = process.memoryUsage().rss - start
      if (grown > MEMORY) throw new Error(`${outcome}: the process has grown by ${grown} bytes`)
      process.send!({ number, outcome })
    } catch (error) {
      console.error(`FAILED: case ${number}`, error)
      process.exit(1)
    }
    // Lets the message out before the next case, which may hang.
    await new Promise(resolve => setImmediate(resolve))
  }
  process.disconnect()
}
