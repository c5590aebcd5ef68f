/** Standard output as a place for an image that is streamed. */
import { write } from 'node:fs'
import { promisify } from 'node:util'
import { StorageError } from '../errors.ts'

const writeTo = promisify(write)
const STDOUT = 1

/** Milliseconds to wait when a pipe is full and does not block. */
const FULL_PIPE_DELAY = 5

/** Writes to standard output, all of it, at the reader's speed. Throws StorageError (TARGET_GONE) when nobody reads. */
export function stdoutSink() {
  return {
    async write(bytes: Buffer): Promise<void> {
      for (let done = 0; done < bytes.length; ) {
        try {
          done += (await writeTo(STDOUT, bytes, done, bytes.length - done, null)).bytesWritten
        } catch (error) {
          const { code, message } = error as NodeJS.ErrnoException
          if (code !== 'EAGAIN') {
            throw new StorageError('TARGET_GONE', `standard output cannot be written: ${message}`, {}, { cause: error })
          }
          await new Promise(resolve => setTimeout(resolve, FULL_PIPE_DELAY))
        }
      }
    },
  }
}
