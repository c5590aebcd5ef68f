/** Which name each entry gets in the target: safe there, and its own. */
import { foldName, hostName, type NameRules, numberedName } from './host-name.ts'

/** A folder in the target. */
export interface TargetFolder {
  /** Below the target, with '/' between names; '' for the target itself. */
  readonly path: string
  readonly parent: TargetFolder | undefined
  /** Tells it from all others. */
  readonly number: number
}

/** An entry that has another name in the target than in the image. */
export interface Renamed {
  /** In the image. */
  readonly path: string
  /** Below the target. */
  readonly target: string
  readonly reason: string
}

const UNSAFE = 'the target cannot have this name'
const CLASH = 'another entry has this name in the target'

/** Gives names in the target, each only once. Memory: a number for each name. */
export class TargetNames {
  readonly rules: NameRules
  readonly root: TargetFolder = { path: '', parent: undefined, number: 0 }
  readonly #onRenamed: (renamed: Renamed) => void
  /** Hashes of folder and name: 53 bits, so that two names in a million folders have one by accident once in a billion times. */
  readonly #taken = new Set<number>()
  #folders = 1

  constructor(rules: NameRules, onRenamed: (renamed: Renamed) => void) {
    this.rules = rules
    this.#onRenamed = onRenamed
  }

  /** The place for what is called `name` and stands at `path` in the image, in `folder`: a path below the target. */
  place(folder: TargetFolder, name: string, path: string): string {
    const safe = hostName(name, this.rules)
    const own = this.#own(folder, safe)
    const place = join(folder, own)
    if (own !== name) this.#onRenamed({ path, target: place, reason: own === safe ? UNSAFE : CLASH })
    return place
  }

  folder(parent: TargetFolder, name: string, path: string): TargetFolder {
    return { path: this.place(parent, name, path), parent, number: this.#folders++ }
  }

  /** A place beside `place`, which turned out to be taken by what was in the target before. */
  another(folder: TargetFolder, place: string, path: string): string {
    const another = join(folder, this.#own(folder, place.slice(place.lastIndexOf('/') + 1)))
    this.#onRenamed({ path, target: another, reason: 'the target had a file of this name before' })
    return another
  }

  #own(folder: TargetFolder, name: string): string {
    let own = name
    for (let number = 2; !this.#take(folder, own); number++) own = numberedName(name, number, this.rules)
    return own
  }

  #take(folder: TargetFolder, name: string): boolean {
    const key = hash(foldName(name, this.rules), folder.number)
    if (this.#taken.has(key)) return false
    this.#taken.add(key)
    return true
  }
}

const join = ({ path }: TargetFolder, name: string) => (path === '' ? name : `${path}/${name}`)

/** 53 bits, spread by two multiplicative hashes over the same units. */
function hash(text: string, seed: number): number {
  let high = Math.imul(seed, 0x9e3779b1) ^ 0x811c9dc5
  let low = seed ^ 0x41c6ce57
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    high = Math.imul(high ^ unit, 0x01000193)
    low = Math.imul(low ^ unit, 0x5bd1e995)
    low ^= low >>> 15
  }
  high ^= high >>> 13
  return (high & 0x1fffff) * 2 ** 32 + (low >>> 0)
}

/** A directory of the image and all below it, each at its place in the target. */
export class TargetTree {
  readonly #names: TargetNames
  /** Where the directory itself goes. */
  readonly root: TargetFolder
  readonly #folders: Map<string, TargetFolder>

  /** What is below the directory `path` of the image goes into `folder`. */
  constructor(names: TargetNames, path: string, folder: TargetFolder) {
    this.#names = names
    this.root = folder
    this.#folders = new Map([[withoutSlash(path), folder]])
  }

  /** The folder for a directory of the image, which may come after what is in it. `name`: as its entry has it, where that is known. */
  folder(path: string, name?: string): TargetFolder {
    const known = this.#folders.get(path)
    if (known !== undefined) return known
    if (name !== undefined) return this.#add(this.parentFolder(path, name), path, name)
    const missing: string[] = []
    let above = path
    let folder: TargetFolder | undefined
    while (folder === undefined) {
      missing.push(above)
      above = above.slice(0, Math.max(above.lastIndexOf('/'), 0))
      folder = this.#folders.get(above) ?? (above === '' ? this.root : undefined)
    }
    for (const next of missing.reverse()) folder = this.#add(folder, next, next.slice(next.lastIndexOf('/') + 1))
    return folder
  }

  /** The folder that an entry lies in. Its name may have separators in it, so the path alone does not say. */
  parentFolder(path: string, name: string): TargetFolder {
    return this.folder(path.slice(0, path.length - name.length - 1))
  }

  #add(parent: TargetFolder, path: string, name: string): TargetFolder {
    const folder = this.#names.folder(parent, name, path)
    this.#folders.set(path, folder)
    return folder
  }

  /** Whether the directory `path` of the image is in here. */
  holds(path: string): boolean {
    return this.#folders.has(path)
  }
}

const withoutSlash = (path: string) => (path === '/' ? '' : path)
