/** The one table of exit codes, and which error ends with which. */
import { BusyError, FormatError, InterruptedError, OptionError, OutOfRangeError, ReadOnlyError } from '../lib/index.ts'

export const ExitCode = {
  done: 0,
  failed: 1,
  usage: 2,
  problems: 3,
  damaged: 4,
  inUse: 5,
  interrupted: 130,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** For the end of every help page. */
export const EXIT_CODE_HELP =
  'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with problems or warnings, 4 image or file system damaged, 5 image in use, 130 interrupted.'

const BY_ERROR = [
  [OptionError, ExitCode.usage],
  [FormatError, ExitCode.damaged],
  [OutOfRangeError, ExitCode.damaged],
  [BusyError, ExitCode.inUse],
  [ReadOnlyError, ExitCode.usage],
  [InterruptedError, ExitCode.interrupted],
] as const

/** What `error` ends the program with; 1 for all that is not in the table. */
export function exitCodeOf(error: unknown): ExitCode {
  return BY_ERROR.find(([type]) => error instanceof type)?.[1] ?? ExitCode.failed
}
