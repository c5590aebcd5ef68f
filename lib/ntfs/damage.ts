/** What may be worked around, and what may not. */
import { FormatError, StorageError, UnsupportedError } from '../errors.ts'

/** Whether `error` tells of bytes that are bad or unreadable, and not of a disk that is gone or a mistake in here. */
export const isDamage = (error: unknown): error is FormatError | StorageError | UnsupportedError =>
  error instanceof FormatError ||
  error instanceof UnsupportedError ||
  (error instanceof StorageError && error.code !== 'DEVICE_GONE')
