/** How programs are measured beside each other: in turn, from the page cache, until their output is on the disk. */
import { spawn } from 'node:child_process'
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'
import { formatSize } from '../../lib/binary/size.ts'
import { repository } from '../helpers/folders.ts'
import { pathOf, run } from '../helpers/run.ts'

export interface Program {
  readonly name: string
  /** What it reads, which is put into the page cache first. */
  readonly input: string
  readonly command: readonly string[]
  /** A file or a folder it makes, which is removed before and after; '' for a program that only prints. */
  readonly output: string
  /** Before each run, and not measured: what a program that changes a file is given. */
  readonly prepare?: () => Promise<unknown>
}

export interface Measured {
  readonly seconds: number
  readonly peakMemory: number
}

/** Runs a program, then flushes its output, and measures both. What it prints is read and dropped. */
export async function measure({ command, output }: Pick<Program, 'command' | 'output'>): Promise<Measured> {
  const started = performance.now()
  const child = spawn(pathOf(command[0]!) ?? command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stdout.resume()
  child.stderr.on('data', chunk => {
    complaint += chunk
  })
  let peakMemory = 0
  const watch = setInterval(() => {
    peakMemory = Math.max(peakMemory, peakMemoryOf(child.pid!))
  }, 20)
  const exitCode = await new Promise((done, fail) => child.on('error', fail).on('close', done)).finally(() =>
    clearInterval(watch),
  )
  if (exitCode !== 0) throw new Error(`${command.join(' ')} ended with ${exitCode}\n${complaint}`)
  if (output !== '') await run('sync', ['-f', output], { timeout: 600_000 })
  return { seconds: (performance.now() - started) / 1000, peakMemory }
}

/** The most memory that a process has had resident so far, as Linux counts it; 0 when it is gone. */
function peakMemoryOf(pid: number): number {
  try {
    return 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  return (sorted[Math.floor(half)]! + sorted[Math.ceil(half) - 1]!) / 2
}

/** Puts the file into the page cache. */
async function warm(path: string): Promise<void> {
  for await (const chunk of createReadStream(path, { highWaterMark: 4 * 1024 ** 2 })) void chunk
}

/** Takes turns and prints a line as each run ends. */
export async function race(programs: readonly Program[], rounds: number): Promise<Map<Program, Measured[]>> {
  const results = new Map<Program, Measured[]>(programs.map(program => [program, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const program of programs) {
      const clear = () => (program.output === '' ? undefined : rm(program.output, { recursive: true, force: true }))
      await clear()
      await program.prepare?.()
      await run('sync', [], { timeout: 600_000 })
      await warm(program.input)
      const measured = await measure(program)
      await clear()
      results.get(program)!.push(measured)
      console.error(`round ${round}: ${program.name} ${measured.seconds.toFixed(2)} s`)
    }
  }
  return results
}

/** Prints a table of what `race` measured, the first program being ours. `bytes`: what each of them handles. */
export function printRace(title: string, results: Map<Program, Measured[]>, bytes?: number): void {
  const secondsOf = (runs: readonly Measured[]) => median(runs.map(({ seconds }) => seconds))
  const ours = secondsOf([...results.values()][0]!)
  const rateHead = bytes === undefined ? [] : ['bytes per second']
  console.log(`\n${title}\n`)
  printRow(['program', 'seconds', ...rateHead, 'time beside ours', 'peak memory'])
  printRow(['---', '---:', ...rateHead.map(() => '---:'), '---:', '---:'])
  for (const [{ name }, runs] of results) {
    const seconds = secondsOf(runs)
    const rate = bytes === undefined ? [] : [`${formatSize(bytes / seconds)}/s`]
    const memory = formatSize(Math.max(...runs.map(({ peakMemory }) => peakMemory)), 0)
    printRow([name, seconds.toFixed(2), ...rate, `${(seconds / ours).toFixed(2)} ×`, memory])
  }
}

const printRow = (cells: readonly string[]) => console.log(`| ${cells.join(' | ')} |`)

/** What users have: packed, and installed from the package. Returns the path of its launcher. */
export async function install(folder: string): Promise<string> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: repository, timeout: 300_000 })
  const { name, version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))
  const pack = join(folder, `${name}-${version}.tgz`)
  await run('npm', ['install', '--silent', '--prefix', folder, '--global', pack], { timeout: 300_000 })
  return join(folder, 'lib/node_modules', name, 'cli/bin.js')
}

/** What kind of machine this is, without its name. */
export function machine(): string {
  const virtual = existsSync('/proc/cpuinfo') && /hypervisor/.test(readFileSync('/proc/cpuinfo', 'utf8'))
  return `${cpus().length} cores, ${formatSize(totalmem(), 0)}, ${type()} ${release().split('.').slice(0, 2).join('.')}${virtual ? ' VM' : ''}, Node ${process.versions.node}`
}
