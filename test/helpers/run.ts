/** Other people's programs: where they are and how one is run. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Debian keeps what formats disks in /usr/sbin, which is not in everybody's PATH; wine64 lies beside its libraries. */
const PATH = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/lib/wine']

/** Where the program lies; undefined when it is not here. */
export const pathOf = (tool: string) => PATH.map(folder => join(folder, tool)).find(existsSync)

export interface RunOptions {
  /** Milliseconds until it is killed, which throws. 60 s unless told. */
  readonly timeout?: number
  readonly cwd?: string
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>
  /** What it reads on stdin. Otherwise stdin is empty. */
  readonly input?: string | Buffer
  /** Exit codes that are no error: [0] unless told. */
  readonly exitCodes?: readonly number[]
}

export interface Finished {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end. Throws with its whole output when it cannot start, takes too long or fails. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const { timeout = 60_000, exitCodes = [0] } = options
  const child = spawn(pathOf(command) ?? command, args, {
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    env: { ...process.env, LC_ALL: 'C', PATH: PATH.join(delimiter), ...options.env },
  })
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', chunk => stdout.push(chunk))
  child.stderr.on('data', chunk => stderr.push(chunk))
  child.stdin.on('error', () => {})
  child.stdin.end(options.input)

  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, timeout)
  const ended = await new Promise<number | string>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(code ?? signal ?? 'no exit code'))
  }).finally(() => clearTimeout(timer))

  const output = { stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }
  if (typeof ended === 'number' && exitCodes.includes(ended)) return { exitCode: ended, ...output }
  const outcome = late ? `was killed after ${timeout} ms` : `ended with ${ended}`
  throw new Error(`${[command, ...args].join(' ')} ${outcome}\n${output.stdout}${output.stderr}`)
}
