/** The disk in an image as 7-Zip takes it out: the only other program here that reads differencing images. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { pathOf } from './run.ts'

/** The bytes of the disk, in pieces. 7-Zip looks for parents beside the image only. */
export async function* by7Zip(path: string): AsyncIterable<Buffer> {
  const child = spawn(pathOf('7zz')!, ['x', '-so', '-tVHDX', path], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>(resolve => child.on('close', resolve))
  for await (const piece of child.stdout) yield piece
  const exitCode = await ended
  if (exitCode !== 0) throw new Error(`7zz x ${path} ended with ${exitCode}`)
}

/** The SHA-256 of all of it. */
export async function hashBy7Zip(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of by7Zip(path)) hash.update(piece)
  return hash.digest('hex')
}
