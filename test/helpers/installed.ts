/** The program as npm installs it: built, in a folder of its own. */
import { copyFile, mkdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { repository } from './folders.ts'
import { run } from './run.ts'

/** Builds the program into the new folder `folder`, beside the packages that are not built into it. Returns its bin.js. */
export async function installInto(folder: string): Promise<string> {
  for (const name of ['cli', 'node_modules']) await mkdir(join(folder, name), { recursive: true })
  await run('node_modules/.bin/tsx', ['build.ts', join(folder, 'dist')], { cwd: repository })
  for (const file of ['package.json', 'cli/bin.js']) await copyFile(join(repository, file), join(folder, file))
  const { optionalDependencies } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'))
  for (const name of Object.keys(optionalDependencies)) {
    await symlink(join(repository, 'node_modules', name), join(folder, 'node_modules', name))
  }
  return join(folder, 'cli/bin.js')
}
