/** Globs over paths in a volume; the one place that knows the glob library. */
import picomatch from 'picomatch'

/**
 * Whether a path (backslashes, from the volume's root) matches one of `globs`, without regard to case. A glob may be
 * written with either slash; one that does not begin with a slash matches at any depth, as in .gitignore.
 */
export function globMatcher(globs: readonly string[]): (path: string) => boolean {
  const patterns = globs.map(glob => {
    const forward = glob.replaceAll('\\', '/')
    return forward.startsWith('/') ? forward : `/**/${forward}`
  })
  const matches = picomatch(patterns, { nocase: true, dot: true })
  return path => matches(path.replaceAll('\\', '/'))
}
