/**
 * Every error the library throws on purpose. `code` is stable and for programs, the message for people:
 * what is wrong, where, what was expected, what was found, and what to do next. `details` holds the same as data.
 */
export class DiskImageError extends Error {
  readonly code: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: string, message: string, details: Readonly<Record<string, unknown>> = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
    this.details = details
  }
}

/** Bytes on disk that break their format. `details` may have: structure, field, position (absolute byte), expected, actual. */
export class FormatError extends DiskImageError {}

/** Valid as far as can be seen, but nothing this library can work with. */
export class UnsupportedError extends DiskImageError {}

/** A request for bytes that lie outside the device. Always a caller's error or a format that points outside. */
export class OutOfRangeError extends DiskImageError {}

/** A write to something opened for reading. */
export class ReadOnlyError extends DiskImageError {}

/** Somebody else uses the file or the disk. */
export class BusyError extends DiskImageError {}

/** A file, a partition or an entry that is not there. */
export class NotFoundError extends DiskImageError {}

/** An option, or a combination of options, that cannot be used. */
export class OptionError extends DiskImageError {}

/** The medium or the operating system failed: unreadable sectors, a full target, a device that went away. */
export class StorageError extends DiskImageError {}

/** What refuses to go on because going on could lose data, until the user says otherwise. */
export class RefusedError extends DiskImageError {}

/** The user or the program asked to stop. */
export class InterruptedError extends DiskImageError {}

/** `error` told by somebody who knows more: of the same class, with it as the cause, and `details` added to its own. */
export function retold<E extends DiskImageError>(
  error: E,
  message: string,
  details: DiskImageError['details'],
  code = error.code,
): E {
  const type = error.constructor as new (...args: ConstructorParameters<typeof DiskImageError>) => E
  return new type(code, message, { ...error.details, ...details }, { cause: error })
}

/** Something that is bad, unreadable, or of a kind that is not known: there may be a copy of it, or a way without. */
export type Damage = FormatError | StorageError | UnsupportedError

/** Whether `error` tells of damage, and not of a disk that is gone or a mistake in here. */
export const isDamage = (error: unknown): error is Damage =>
  error instanceof FormatError ||
  error instanceof UnsupportedError ||
  (error instanceof StorageError && error.code !== 'DEVICE_GONE')

interface FormatProblem {
  /** The structure's name in its specification, such as 'VHDX header'. */
  readonly structure: string
  readonly field?: string
  /** Absolute byte on the device or file that holds the structure. */
  readonly position: number
  readonly expected: string
  readonly actual: string
  /** What a user can do about it, as a sentence. */
  readonly advice?: string
}

/** A `FormatError` whose message names structure, field, byte, expected and actual, always in the same words. */
export function formatError(code: string, problem: FormatProblem): FormatError {
  const { structure, field, position, expected, actual, advice } = problem
  const name = field === undefined ? structure : `${structure}.${field}`
  const message = `${name} at byte ${hex(position)} is ${actual}, expected ${expected}`
  return new FormatError(code, advice === undefined ? message : `${message}. ${advice}`, { ...problem })
}

/** A byte position as people read it in a hex editor. */
export const hex = (value: number | bigint) => `0x${value.toString(16)}`
