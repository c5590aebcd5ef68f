/** Paths in a volume: names with '/' before each. The root is '/'. */

/** The names of a path, with '/' or, where there is none, with '\' between them; '' and '.' are passed over. */
export const namesOf = (path: string) =>
  path.split(path.includes('/') ? '/' : '\\').filter(name => name !== '' && name !== '.')

/** The path of what is called `name` in the directory at `directory`. */
export const pathIn = (directory: string, name: string) => (directory === '/' ? `/${name}` : `${directory}/${name}`)

/** Stands in names for what cannot be in a path here. */
export const REPLACEMENT = '\ufffd'

/**
 * `name` without what cannot be in a path here and is in no sound name: '/' and the character zero; nor is it the whole of '.',
 * which paths pass over. Hot: once per entry.
 */
export function shownName(name: string): string {
  if (name === '.') return REPLACEMENT
  return /[/\0]/.test(name) ? name.replace(/[/\0]/g, REPLACEMENT) : name
}
