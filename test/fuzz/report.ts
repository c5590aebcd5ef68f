/** What a campaign found, for people. */
import type { Campaign, Finding, Tally } from './campaign.ts'

export function describeFinding({ target, number, failure, smallest, path }: Finding): string {
  const changes = smallest.mutations.map(({ what }) => `    ${what}`)
  const sealed = smallest.isSealed ? 'checksums made good' : 'checksums as they were'
  const stack = failure.split('\n').slice(0, 24).join('\n  ')
  return [
    `FINDING ${target} case ${number}, seed '${smallest.seed}', ${sealed}:`,
    ...changes,
    `  ${stack}`,
    `  ${path}`,
  ].join('\n')
}

export function describeCampaign({ tallies, failures }: Campaign): string {
  const lines = [...tallies].flatMap(([target, tally]) => [describeTally(target, tally), ...describeCodes(tally)])
  const found = [...failures].map(([signature, times]) => `${String(times).padStart(9)}  ${signature}`)
  return [...lines, failures.size === 0 ? 'no findings' : 'findings:', ...found].join('\n')
}

function describeTally(target: string, { cases, time, slowest, memory }: Tally): string {
  const rate = (cases / (time / 1000)).toFixed(0)
  return `${target}: ${cases} cases, ${rate}/s, slowest ${slowest.time.toFixed(0)} ms (case ${slowest.number}), most memory ${(memory / 1024 ** 2).toFixed(0)} MiB`
}

/** By how many cases they came in. */
const describeCodes = ({ codes }: Tally): string[] =>
  [...codes].sort((a, b) => b[1] - a[1]).map(([code, times]) => `${String(times).padStart(9)}  ${code}`)
