/** The layers of spec-notes/architecture.md, held as data: who may import whom, and what the package may ship. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, test } from 'vitest'
import { repository } from './helpers/folders.ts'

/** What each part of the program may import besides itself. `errors` is lib/errors.ts and lib/finding.ts. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  binary: ['errors'],
  device: ['errors', 'binary'],
  undo: ['errors', 'binary', 'device'],
  volume: ['errors', 'device'],
  codec: ['errors'],
  vhdx: ['errors', 'binary', 'device'],
  vhd: ['errors', 'binary', 'device'],
  partition: ['errors', 'binary', 'device'],
  ntfs: ['errors', 'binary', 'device', 'volume', 'codec'],
  fat: ['errors', 'binary', 'device', 'volume'],
  exfat: ['errors', 'binary', 'device', 'volume'],
  image: ['errors', 'binary', 'device', 'volume', 'vhdx', 'vhd', 'partition', 'ntfs', 'fat', 'exfat'],
  copy: ['errors', 'binary', 'device', 'undo', 'volume', 'vhdx', 'vhd', 'partition', 'image', 'platform'],
  extract: ['errors', 'binary', 'device', 'volume', 'partition', 'image', 'copy', 'platform'],
  platform: ['errors', 'device'],
  index: [
    'errors',
    'binary',
    'device',
    'volume',
    'vhdx',
    'vhd',
    'partition',
    'ntfs',
    'fat',
    'exfat',
    'image',
    'copy',
    'extract',
    'platform',
  ],
  cli: ['index'],
}

/** Where `node:` may be imported: everything else can one day run inside a web page. */
const NODE_EDGES = [
  /^lib\/device\/(c-library|direct-writer|file-.*|folder|linux-block-device|native|open-file|stdout-sink)\.ts$/,
  /^lib\/image\/open-.*\.ts$/,
  /^lib\/copy\//,
  /^lib\/extract\//,
  /^lib\/platform\//,
  /^cli\//,
]

/** Where each package may be imported, so that it can be replaced there. */
const PACKAGES: Readonly<Record<string, RegExp>> = {
  'buffer-layout': /^lib\/binary\//,
  'cli-progress': /^cli\/progress\.ts$/,
  'cli-table3': /^cli\/table\.ts$/,
  'fs-ext': /^lib\/device\/native\.ts$/,
  koffi: /^lib\/device\/c-library\.ts$/,
  'modern-tar': /^lib\/extract\/tar-archive\.ts$/,
  picomatch: /^(cli|lib\/copy)\//,
  tsx: /^cli\/bin\.js$/,
  yargs: /^cli\/(main|command)\.ts$/,
  'zip-stream': /^lib\/extract\/zip-archive\.ts$/,
}

const packageJson = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))

interface Source {
  readonly path: string
  readonly text: string
  /** What it imports, types included: paths in the repository, or names of packages. */
  readonly imports: readonly string[]
}

const sources: readonly Source[] = ['lib', 'cli'].flatMap(folder =>
  readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => /(?<!\.d)\.[jt]s$/.test(name))
    .map(name => readSource(join(folder, name))),
)

function readSource(path: string): Source {
  const text = readFileSync(join(repository, path), 'utf8')
  const statements = text.matchAll(
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom '([^']+)'|^\s*import '([^']+)'|\bimport\('([^']+)'\)/gm,
  )
  const imports = [...statements].map(([, from, bare, dynamic]) => (from ?? bare ?? dynamic)!)
  return {
    path,
    text,
    imports: imports.map(name => (name.startsWith('.') ? normalize(join(dirname(path), name)) : name)),
  }
}

const isPath = (name: string) => /^(lib|cli|\.\.|dist|test|samples)(\/|$)/.test(name)

/** `lib/vhdx/bat.ts` → `vhdx`, `lib/index.ts` → `index`, `cli/commands/info.ts` → `cli`. */
function layerOf(path: string): string {
  const [top, folder] = path.split('/')
  if (top !== 'lib') return top!
  return folder === 'errors.ts' || folder === 'finding.ts' ? 'errors' : folder!.replace(/\.ts$/, '')
}

/** A chain of files that ends where it began; undefined when there is none. */
function findCycle(files: readonly Source[]): string[] | undefined {
  const byPath = new Map(files.map(file => [file.path, file]))
  const clean = new Set<string>()
  const visit = (path: string, chain: string[]): string[] | undefined => {
    if (chain.includes(path)) return [...chain.slice(chain.indexOf(path)), path]
    if (clean.has(path)) return undefined
    for (const next of byPath.get(path)?.imports ?? []) {
      const cycle = visit(next, [...chain, path])
      if (cycle !== undefined) return cycle
    }
    clean.add(path)
    return undefined
  }
  for (const file of files) {
    const cycle = visit(file.path, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}

describe('layers', () => {
  test('every file belongs to a layer of the table', () => {
    expect(sources.filter(({ path }) => LAYERS[layerOf(path)] === undefined).map(({ path }) => path)).toEqual([])
  })

  test('nothing imports what its layer may not', () => {
    const wrong = sources.flatMap(({ path, imports }) => {
      const layer = layerOf(path)
      const allowed = [layer, ...(LAYERS[layer] ?? [])]
      return imports.filter(name => isPath(name) && !allowed.includes(layerOf(name))).map(name => `${path} → ${name}`)
    })
    expect(wrong).toEqual([])
  })

  test('there is no cycle', () => {
    expect(findCycle(sources)).toBeUndefined()
  })

  test('only the edges import Node', () => {
    const inside = sources.filter(({ path }) => !NODE_EDGES.some(edge => edge.test(path)))
    const wrong = inside.flatMap(({ path, imports }) =>
      imports.filter(name => name.startsWith('node:')).map(() => path),
    )
    expect(wrong).toEqual([])
  })

  test('each package is imported in its place only', () => {
    const wrong = sources.flatMap(({ path, imports }) => {
      const names = imports.filter(name => !isPath(name) && !name.startsWith('node:')).map(name => name.split('/')[0]!)
      return names.filter(name => PACKAGES[name]?.test(path) !== true).map(name => `${path} → ${name}`)
    })
    expect(wrong).toEqual([])
  })

  test('the cycle finder finds one', () => {
    const file = (path: string, ...imports: string[]) => ({ path, imports, text: '' })
    expect(findCycle([file('a', 'b', 'c'), file('b', 'c'), file('c')])).toBeUndefined()
    expect(findCycle([file('a', 'b'), file('b', 'c'), file('c', 'b')])).toEqual(['b', 'c', 'b'])
  })
})

describe('the public API', () => {
  const index = readSource('lib/index.ts')
  const lists = [...index.text.matchAll(/^export (?:type )?\{([^}]*)\} from '\.\/([^']+)'/gm)]
  const names = lists.flatMap(([, list, from]) =>
    list!
      .split(',')
      .map(name => name.trim().replace(/^type /, ''))
      .filter(name => name !== '')
      .map(name => ({ name, from: join('lib', from!) })),
  )

  test('every name is listed one by one', () => {
    expect(index.text).not.toMatch(/export \*/)
    expect(names.length).toBeGreaterThan(10)
    expect(lists.length).toBe([...index.text.matchAll(/^export /gm)].length)
  })

  test('every name has a doc comment where it is declared', () => {
    const bare = names.filter(({ name, from }) => {
      const { text } = sources.find(({ path }) => path === from)!
      const declared = `export (?:abstract |async )*(?:class|function|function\\*|const|interface|type) ${name}\\b`
      return !new RegExp(`\\*/\\n${declared}`).test(text)
    })
    expect(bare.map(({ name, from }) => `${name} of ${from}`)).toEqual([])
  })
})

describe('the package', () => {
  const { dependencies, devDependencies, optionalDependencies } = packageJson

  test('every version is exact', () => {
    const versions = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version as string))).toEqual([])
  })

  test('what it imports is built into it, but for what is machine code', () => {
    const imported = sources.flatMap(({ imports }) =>
      imports.filter(name => !isPath(name) && !name.startsWith('node:')),
    )
    const names = [...new Set(imported.map(name => name.split('/')[0]!))]
    expect(dependencies).toBeUndefined()
    expect(Object.keys(optionalDependencies).filter(name => !names.includes(name))).toEqual([])
    expect(names.filter(name => !(name in { ...optionalDependencies, ...devDependencies }))).toEqual([])
  })

  test('of all versions of string-width it has the one that makes no table of all emoji at every start', () => {
    const { packages } = JSON.parse(readFileSync(join(repository, 'package-lock.json'), 'utf8'))
    const paths = Object.keys(packages).filter(path => path.endsWith('/string-width'))
    expect(paths.map(path => packages[path].version)).toEqual(['4.2.3'])
  })

  test('the lock file agrees with it and names no registry', () => {
    const text = readFileSync(join(repository, 'package-lock.json'), 'utf8')
    const root = JSON.parse(text).packages['']
    expect({ ...root.dependencies, ...root.devDependencies, ...root.optionalDependencies }).toEqual({
      ...dependencies,
      ...devDependencies,
      ...optionalDependencies,
    })
    expect(text).not.toContain('"resolved"')
  })
})

describe('spec-notes', () => {
  const headings = new Map(
    readdirSync(join(repository, 'spec-notes')).map(name => {
      const text = readFileSync(join(repository, 'spec-notes', name), 'utf8')
      return [name, [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!)]
    }),
  )

  test('every note and heading that the code cites is there', () => {
    const cited = sources.flatMap(({ path, text }) =>
      [...text.matchAll(/spec-notes\/([\w-]+\.md)(?:, "?([^":.*\n]+))?/g)].map(([, note, heading]) => ({
        path,
        note,
        heading,
      })),
    )
    expect(cited.length).toBeGreaterThan(20)
    const missing = cited.filter(({ note, heading }) => {
      const known = headings.get(note!)
      return known === undefined || (heading !== undefined && !known.includes(heading.trim()))
    })
    expect(missing).toEqual([])
  })

  test('every section of [MS-VHDX] that the code cites has its heading', () => {
    const known = headings.get('vhdx.md')!.map(heading => heading.split(' ')[0]!)
    const cited = sources.flatMap(({ path, text }) =>
      [...text.matchAll(/\[MS-VHDX\] (\d+(?:\.\d+)*)/g)].map(([, section]) => ({ path, section: section! })),
    )
    expect(cited.length).toBeGreaterThan(20)
    expect(cited.filter(({ section }) => !known.includes(section))).toEqual([])
  })
})
