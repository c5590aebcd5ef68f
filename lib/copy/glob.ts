/** Globs over paths in a volume; the one place that knows the glob library. */
import picomatch from 'picomatch'
import { OptionError } from '../errors.ts'

/** Bytes of all globs as JSON: a manifest keeps them whole, because verifying needs them, and must have room for more. */
export const MAX_GLOBS_SIZE = 64 * 1024

/** Characters of one: regular expressions have their limits. */
const MAX_GLOB_LENGTH = 1_000

/**
 * Whether a path (backslashes, from the volume's root) matches one of `globs`, without regard to case. A glob may be
 * written with either slash; one that does not begin with a slash matches at any depth, as in .gitignore.
 * Throws OptionError (GLOBS_TOO_LONG) for more than an image's manifest can keep.
 */
export function globMatcher(globs: readonly string[]): (path: string) => boolean {
  if (globs.some(glob => glob.length > MAX_GLOB_LENGTH)) {
    throw tooLong(`one of the globs has more than ${MAX_GLOB_LENGTH} characters. Use wildcards`)
  }
  const size = Buffer.byteLength(JSON.stringify(globs))
  if (size > MAX_GLOBS_SIZE)
    throw tooLong(`the globs take ${size} bytes, an image keeps ${MAX_GLOBS_SIZE}. Use wildcards`)
  // Without the first slash: to picomatch `/**/` before a name means one directory at least.
  const patterns = globs.map(glob => {
    const forward = glob.replaceAll('\\', '/')
    return forward.startsWith('/') ? forward.slice(1) : `**/${forward}`
  })
  const matches = picomatch(patterns, { nocase: true, dot: true })
  return path => matches(path.replaceAll('\\', '/').slice(1))
}

/** Whether `text` has wildcards in it. */
export const isGlob = (text: string) => picomatch.scan(text).isGlob === true

/** Whether a path without a slash at its start, or a name, matches `glob`, without regard to case. */
export function relativeMatcher(glob: string): (path: string) => boolean {
  if (glob.length > MAX_GLOB_LENGTH) throw tooLong(`a glob has more than ${MAX_GLOB_LENGTH} characters. Use wildcards`)
  return picomatch(glob, { nocase: true, dot: true })
}

const tooLong = (message: string) => new OptionError('GLOBS_TOO_LONG', message)
