/** The program as npm installs it: built, in a folder of its own. */
import { copyFile, mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { repository } from './folders.ts'
import { run } from './run.ts'

/** Builds the program into the new folder `folder`, with the packages of this checkout. Returns its bin.js. */
export async function installInto(folder: string): Promise<string> {
  await mkdir(join(folder, 'cli'), { recursive: true })
  const { scripts } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'))
  const bundle = scripts.build.split(' && ')[0].replace('--outdir=dist', `--outdir=${folder}/dist`)
  await run('sh', ['-c', `node_modules/.bin/${bundle} --log-level=error`], { cwd: repository })
  for (const file of ['package.json', 'cli/bin.js']) await copyFile(join(repository, file), join(folder, file))
  await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'))
  return join(folder, 'cli/bin.js')
}
