/**
 * npm run fuzz -- --minutes N --seed S [--from N] [--cases N] [--target ntfs,vhdx] | --replay FILE
 *
 * Damages small valid inputs of every format and does with them all that the library can do. Each case has to end with the
 * right bytes or with an error of ours: soon, and without much memory. Without --minutes and --cases it goes on until
 * Ctrl-C. A case is made from the seed and its number alone.
 * Findings are made small, shown, and written to test/.cache/fuzz, from where `--replay` does one again.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Campaign } from './campaign.ts'
import { CaseRunner } from './case.ts'
import { caseOf, readFinding } from './findings.ts'
import { describeCampaign, describeFinding } from './report.ts'
import { targets } from './targets/all.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    from: { type: 'string', default: '0' },
    cases: { type: 'string' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string', default: targets.map(({ name }) => name).join(',') },
    replay: { type: 'string' },
  },
})
await (values.replay === undefined ? fuzz() : replay(values.replay))

async function fuzz(): Promise<void> {
  const { minutes, from, cases, seed, target } = values
  const campaign = new Campaign({
    module: join(import.meta.dirname, 'targets/all.ts'),
    targets: target.split(',').map(targetNamed),
    seed,
    from: Number(from),
    ...(minutes !== undefined && { time: Number(minutes) * 60_000 }),
    ...(cases !== undefined && { cases: Number(cases) }),
    onFinding: finding => console.log(describeFinding(finding)),
  })
  const start = Date.now()
  process.once('SIGINT', () => campaign.stop())
  await campaign.run()
  console.log(describeCampaign(campaign))
  console.log(`seed ${seed}, ${((Date.now() - start) / 60_000).toFixed(1)} minutes`)
  if (campaign.findings.length > 0) process.exitCode = 1
}

/** In this process, where a debugger reaches it. */
async function replay(path: string): Promise<void> {
  const found = readFinding(path)
  const target = targetNamed(found.target)
  const codes = await new CaseRunner(target).run(await caseOf(found, target))
  console.log('nothing is wrong any more:', Object.fromEntries(codes))
}

function targetNamed(name: string) {
  const target = targets.find(target => target.name === name)
  if (target === undefined)
    throw new Error(`there is no target '${name}'; there are ${targets.map(({ name }) => name)}`)
  return target
}
