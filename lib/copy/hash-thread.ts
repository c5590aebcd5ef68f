/** SHA-256 on a thread of its own. */
import { JobThread } from './job-thread.ts'

const WORK = `
const { createHash } = require('node:crypto')
return ({ memory, offset, length }) => createHash('sha256').update(new Uint8Array(memory, offset, length)).digest()`

interface HashJob {
  readonly memory: ArrayBufferLike
  readonly offset: number
  readonly length: number
}

export class HashThread extends JobThread<HashJob, Uint8Array> {
  constructor() {
    super(WORK, 'hashes')
  }

  /** The hash of `bytes`, which lie in shared memory. As for `run`. */
  async sha256({ buffer, byteOffset, length }: Buffer): Promise<Buffer> {
    return Buffer.from(await this.run({ memory: buffer, offset: byteOffset, length }))
  }
}
