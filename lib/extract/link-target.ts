/** Where a symbolic link of the image leads once it is copied. */
import { hostName, type NameRules } from './host-name.ts'
import type { PlannedLink } from './layout.ts'

/** A link as it can be made in the target. */
export interface LinkTarget {
  /** From the folder of the link, with '/' between names. */
  readonly path: string
  readonly isFolder: boolean
}

/**
 * What a link leads to in the target; or why it cannot be there. It leads only to what is copied with it: by names alone,
 * as they are in the target, and up no further than the tree it is copied with.
 */
export function linkTarget({ entry, folder, tree }: PlannedLink, rules: NameRules): LinkTarget | string {
  const { path, name, target } = entry
  if (tree === undefined) return `it is a link to ${target}, and links are not followed`
  if (target === undefined) return 'it is a link, and where it leads is not known'
  if (/^(?:[/\\]|[a-z]:)/i.test(target)) return `it is a link to ${target}, which is absolute`
  const outside = `it is a link to ${target}, which is not among what is copied`
  const names = path.slice(0, path.length - name.length - 1).split('/')
  for (const next of target.split(/[/\\]/)) {
    if (next === '..') {
      if (names.length <= 1 || !tree.holds(names.join('/'))) return outside
      names.pop()
    } else if (next !== '' && next !== '.') names.push(next)
  }
  const led = names.join('/')
  if (tree.holds(led)) return { path: relative(folder.path, tree.folder(led).path), isFolder: true }
  const last = names.pop()!
  if (!tree.holds(names.join('/'))) return outside
  const above = tree.folder(names.join('/')).path
  const place = `${above}${above === '' ? '' : '/'}${hostName(last, rules)}`
  return { path: relative(folder.path, place), isFolder: false }
}

/** The way from the folder `from` to `to`, both below the target. */
function relative(from: string, to: string): string {
  const [start, end] = [from, to].map(path => path.split('/').filter(name => name !== '')) as [string[], string[]]
  let common = 0
  while (common < start.length && start[common] === end[common]) common++
  return [...start.slice(common).map(() => '..'), ...end.slice(common)].join('/') || '.'
}
