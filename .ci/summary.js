/** Prints what failed and the last line of .ci/run. Arguments: vitest's JSON report, and `name:exit code` of each step. */
import { existsSync, readFileSync } from 'node:fs'

const [reportPath, ...steps] = process.argv.slice(2)
const files = existsSync(reportPath) ? JSON.parse(readFileSync(reportPath, 'utf8')).testResults : []
const tests = files.flatMap(file => file.assertionResults)
const counts = { passed: 0, failed: 0, skipped: 0 }
for (const { status } of tests) counts[status === 'passed' || status === 'failed' ? status : 'skipped']++

/** A file that breaks before its first test has none that failed, and a run that breaks has no file. */
const broken = files.filter(
  file => file.status === 'failed' && !file.assertionResults.some(test => test.status === 'failed'),
)
for (const file of broken) console.log(`FAILED ${file.name}: ${file.message}`)
counts.failed += broken.length

for (const step of steps) {
  const [name, exitCode] = step.split(':')
  const ok = exitCode === '0'
  if (!ok) console.log(`FAILED ${name}, exit code ${exitCode}`)
  if (name !== 'tests') counts[ok ? 'passed' : 'failed']++
  else if (!ok && counts.failed === 0) counts.failed++
}

console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = counts.failed === 0 ? 0 : 1
