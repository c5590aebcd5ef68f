/** The command line as users run it, in a process of its own. */
import { join } from 'node:path'
import { repository } from './folders.ts'
import { type Finished, type RunOptions, run } from './run.ts'

/** Every exit code: what a command ended with is for the test to judge. */
const ANY = Array.from({ length: 256 }, (_, code) => code)

/** Runs `vhdx` with these arguments to its end, whatever its exit code. */
export const vhdx = (args: readonly string[], options: RunOptions = {}): Promise<Finished> =>
  run(process.execPath, [join(repository, 'cli/bin.js'), ...args], { timeout: 120_000, exitCodes: ANY, ...options })

/** Runs `vhdx … --json`, which has to end with 0, and returns the last line: the result. */
// biome-ignore lint/suspicious/noExplicitAny: each command has a shape of its own, and tests say what they expect of it.
export async function vhdxJson(...args: readonly string[]): Promise<any> {
  const { stdout } = await vhdx([...args, '--json'], { exitCodes: [0] })
  return JSON.parse(stdout.trim().split('\n').at(-1)!)
}
