/**
 * The program and the library as they are installed: with the packages they are made of, and the licences of those. Loading
 * packages file by file takes longer than most commands take to run. `tsx build.ts FOLDER` builds elsewhere than in dist.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build, type Plugin } from 'esbuild'

const [folder = 'dist'] = process.argv.slice(2)
const { optionalDependencies } = JSON.parse(await readFile('package.json', 'utf8'))

/** Where the library's index has each name from. */
const origins = new Map<string, string>()
for (const [, names, path] of (await readFile('lib/index.ts', 'utf8')).matchAll(
  /^export \{([^}]*)\} from '\.\/(.*)'/gm,
)) {
  for (const name of names!.split(',')) origins.set(name.trim(), path!)
}

/** Commands import from where things are: by way of the index each would load all of the library. */
const pastIndex: Plugin = {
  name: 'past the index',
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]cli[/\\].*\.ts$/ }, async ({ path }) => ({
      loader: 'ts',
      contents: (await readFile(path, 'utf8')).replaceAll(
        /^import \{([^}]*)\} from '(.*)index\.ts'/gm,
        (_, names: string, lib: string) =>
          names
            .split(',')
            .map(name => name.trim())
            .filter(name => name !== '' && !name.startsWith('type '))
            .map(name => `import { ${name} } from '${lib}${origins.get(name)}'`)
            .join('\n'),
      ),
    }))
  },
}

const { metafile } = await build({
  entryPoints: ['cli/main.ts', 'lib/index.ts'],
  outdir: folder,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  plugins: [pastIndex],
  // Machine code, of which npm installs what the machine takes.
  external: Object.keys(optionalDependencies),
  // Older packages load Node's own modules by require, which modules have to make for themselves.
  banner: {
    js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);",
  },
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
})

const bundled = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs))
const packages = new Set(bundled.flatMap(path => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []))
const notices = new Set(await Promise.all([...packages].sort().map(notice)))
await writeFile(join(folder, 'THIRD-PARTY-NOTICES.txt'), [...notices].join(`\n${'-'.repeat(80)}\n\n`))

/** Name, version and licence of the package in `path`. */
async function notice(path: string): Promise<string> {
  const { name, version } = JSON.parse(await readFile(join(path, 'package.json'), 'utf8'))
  const file = (await readdir(path)).find(name => /^licen[cs]e/i.test(name))
  if (file === undefined) throw new Error(`${name} ${version} comes without its licence, so it cannot be bundled`)
  return `${name} ${version}\n\n${(await readFile(join(path, file), 'utf8')).trim()}\n`
}
