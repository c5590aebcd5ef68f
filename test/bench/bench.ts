/**
 * npm run bench: how fast a capture is beside the programs that do the nearest thing, and how much memory it takes.
 * Every program reads from the page cache and is done when its output is on the disk. They take turns, so that what the
 * machine does besides falls on all of them. As root, with ntfs-3g, partclone, qemu-utils, gdisk and dosfstools.
 */
import { spawn } from 'node:child_process'
import { createReadStream, existsSync, readFileSync } from 'node:fs'
import { mkdir, rm, stat } from 'node:fs/promises'
import { cpus, release, totalmem, type } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { formatSize, parseSize } from '../../lib/binary/size.ts'
import { cacheFolder, repository } from '../helpers/folders.ts'
import { pathOf, run } from '../helpers/run.ts'
import { extractVolume, hugeDisk, realDisk } from './bench-disk.ts'

const HELP = `npm run bench -- [--data 3GiB] [--files 100000] [--rounds 5] [--dir FOLDER] [--no-huge]

  --data    bytes of files on the disk; it is a little more than twice as large
  --files   how many files
  --rounds  how often each program runs; medians are printed
  --dir     where the disks are kept and the outputs written (test/.cache/bench)
  --no-huge leave out the disk of 15 TB, which needs a file system that takes files of that size`

interface Program {
  readonly name: string
  readonly input: string
  readonly command: readonly string[]
  readonly output: string
}

interface Measured {
  readonly seconds: number
  readonly peakMemory: number
  readonly stdout: string
}

/** Runs a program, then flushes its output, and measures both. */
async function measure({ command, output }: Pick<Program, 'command' | 'output'>): Promise<Measured> {
  const started = performance.now()
  const child = spawn(pathOf(command[0]!) ?? command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  const said = { stdout: '', stderr: '' }
  child.stdout.on('data', chunk => {
    said.stdout += chunk
  })
  child.stderr.on('data', chunk => {
    said.stderr += chunk
  })
  let peakMemory = 0
  const watch = setInterval(() => {
    peakMemory = Math.max(peakMemory, peakMemoryOf(child.pid!))
  }, 20)
  const exitCode = await new Promise((done, fail) => child.on('error', fail).on('close', done)).finally(() =>
    clearInterval(watch),
  )
  if (exitCode !== 0) throw new Error(`${command.join(' ')} ended with ${exitCode}\n${said.stdout}${said.stderr}`)
  if (output !== '') await run('sync', [output], { timeout: 600_000 })
  return { seconds: (performance.now() - started) / 1000, peakMemory, stdout: said.stdout }
}

/** The most memory that a process has had resident so far, as Linux counts it; 0 when it is gone. */
function peakMemoryOf(pid: number): number {
  try {
    return 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  return (sorted[Math.floor(half)]! + sorted[Math.ceil(half) - 1]!) / 2
}

/** Puts the file into the page cache. */
async function warm(path: string): Promise<void> {
  for await (const chunk of createReadStream(path, { highWaterMark: 4 * 1024 ** 2 })) void chunk
}

/** What users have: packed, and installed from the package. Returns the path of its launcher. */
async function install(folder: string): Promise<string> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: repository, timeout: 300_000 })
  const { name, version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))
  const pack = join(folder, `${name}-${version}.tgz`)
  await run('npm', ['install', '--silent', '--prefix', folder, '--global', pack], { timeout: 300_000 })
  return join(folder, 'lib/node_modules', name, 'cli/bin.js')
}

const lastLine = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1)!)

/** Takes turns and prints a line as each run ends. */
async function race(programs: readonly Program[], rounds: number): Promise<Map<Program, Measured[]>> {
  const results = new Map<Program, Measured[]>(programs.map(program => [program, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const program of programs) {
      await rm(program.output, { force: true })
      await run('sync', [], { timeout: 600_000 })
      await warm(program.input)
      const measured = await measure(program)
      await rm(program.output)
      results.get(program)!.push(measured)
      console.error(`round ${round}: ${program.name} ${measured.seconds.toFixed(2)} s`)
    }
  }
  return results
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string', default: '3GiB' },
      files: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '5' },
      dir: { type: 'string', default: join(cacheFolder, 'bench') },
      'no-huge': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return console.log(HELP)
  const [data, files, rounds] = [parseSize(values.data), Number(values.files), Number(values.rounds)]
  const path = (name: string) => resolve(values.dir, name)

  const vhdx = await install(path('installed'))
  const disk = path(`disk-${values.data}-${files}.raw`)
  const volume = path(`volume-${values.data}-${files}.raw`)
  const place = await realDisk(disk, { data, files })
  await extractVolume(place, volume)

  const plan = lastLine((await run('node', [vhdx, 'capture', disk, path('x.vhdx'), '--dry-run', '--json'])).stdout)
  const blocks = Math.ceil(plan.usedBytes / (4 * 1024 ** 2))
  const ddProgram = (name: string, ...how: readonly string[]): Program => ({
    name,
    input: disk,
    output: path('dd.raw'),
    command: ['dd', `if=${disk}`, `of=${path('dd.raw')}`, 'bs=4M', `count=${blocks}`, ...how, 'conv=fsync'],
  })
  const [ours, ...peers]: Program[] = [
    {
      name: 'vhdx capture',
      input: disk,
      output: path('ours.vhdx'),
      command: ['node', vhdx, 'capture', disk, path('ours.vhdx'), '--json'],
    },
    ddProgram('dd of as many bytes'),
    ddProgram('dd oflag=direct of as many bytes', 'oflag=direct'),
    {
      name: 'ntfsclone --save-image (the NTFS volume alone)',
      input: volume,
      output: path('volume.ntfsclone'),
      command: ['ntfsclone', '--save-image', '--output', path('volume.ntfsclone'), volume],
    },
    {
      name: 'partclone.ntfs (the NTFS volume alone)',
      input: volume,
      output: path('volume.partclone'),
      command: ['partclone.ntfs', '-c', '-s', volume, '-o', path('volume.partclone'), '-L', '/dev/null'],
    },
    {
      name: 'qemu-img convert -O vhdx -W -m 16',
      input: disk,
      output: path('qemu.vhdx'),
      command: ['qemu-img', 'convert', '-f', 'raw', '-O', 'vhdx', '-W', '-m', '16', disk, path('qemu.vhdx')],
    },
  ]
  const results = await race([ours!, ...peers], rounds)
  const secondsOf = (program: Program) => median(results.get(program)!.map(({ seconds }) => seconds))
  const sizes = `${formatSize((await stat(disk)).size)} disk, ${formatSize(plan.usedBytes)} used in ${files} files`

  console.log(`\n${new Date().toISOString().slice(0, 10)}, ${machine()}: ${sizes}, medians of ${rounds} rounds\n`)
  console.log('| program | seconds | used bytes per second | time beside ours | peak memory |')
  console.log('| --- | ---: | ---: | ---: | ---: |')
  for (const [program, runs] of results) {
    const seconds = secondsOf(program)
    const rate = `${formatSize(plan.usedBytes / seconds)}/s`
    const memory = formatSize(Math.max(...runs.map(({ peakMemory }) => peakMemory)), 0)
    const beside = (seconds / secondsOf(ours!)).toFixed(2)
    console.log(`| ${program.name} | ${seconds.toFixed(2)} | ${rate} | ${beside} × | ${memory} |`)
  }

  const starts: number[] = []
  for (let i = 0; i < 10; i++)
    starts.push((await measure({ output: '', command: ['node', vhdx, '--version'] })).seconds)
  console.log(`\n\`vhdx --version\` as installed: ${(1000 * median(starts)).toFixed(0)} ms`)

  if (values['no-huge']) return
  const huge = path('huge.raw')
  await hugeDisk(huge)
  const image = path('huge.vhdx')
  await rm(image, { force: true })
  const { seconds, peakMemory } = await measure({
    output: image,
    command: ['node', vhdx, 'capture', huge, image, '--json'],
  })
  const size = formatSize((await stat(image)).size)
  await rm(image)
  console.log(
    `\`vhdx capture\` of a 15 TB disk with a nearly empty NTFS volume: ${seconds.toFixed(1)} s, ${formatSize(peakMemory, 0)} at most, image of ${size}`,
  )
}

/** What kind of machine this is, without its name. */
function machine(): string {
  const virtual = existsSync('/proc/cpuinfo') && /hypervisor/.test(readFileSync('/proc/cpuinfo', 'utf8'))
  return `${cpus().length} cores, ${formatSize(totalmem(), 0)}, ${type()} ${release().split('.').slice(0, 2).join('.')}${virtual ? ' VM' : ''}, Node ${process.versions.node}`
}

await main()
