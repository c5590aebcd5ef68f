/** Content of any size into a file, several pieces at a time. */
import type { FileHandle } from 'node:fs/promises'
import { MiB } from '../binary/size.ts'
import { mapInOrder } from '../copy/map-in-order.ts'
import type { BlockDevice } from '../device/block-device.ts'
import type { BufferPool } from '../device/buffer-pool.ts'
import { DirectWriter } from '../device/direct-writer.ts'
import type { Range } from '../device/ranges.ts'
import { withStorageErrors } from '../device/storage-error.ts'

/** From this size on content goes past the page cache: shorter files are done sooner when they wait there for the medium. */
const LEAST_DIRECT = 16 * MiB

export interface CopyOptions {
  /** Of aligned memory, without which nothing goes past the page cache. */
  readonly buffers: BufferPool
  readonly signal: AbortSignal | undefined
  /** Called with the bytes of each piece. */
  readonly onCopied: (bytes: number) => void
}

/** Writes `content` to `file`, which is new; its holes stay holes where the file system has such. `path`: for errors. */
export async function copyContent(
  content: BlockDevice,
  file: FileHandle,
  path: string,
  { buffers, signal, onCopied }: CopyOptions,
): Promise<void> {
  await withStorageErrors({ verb: 'resize', path }, () => file.truncate(content.size))
  const direct = content.size < LEAST_DIRECT ? undefined : new DirectWriter(file.fd)
  // More than there are buffers: whoever is done with one does not wait until an earlier piece is done too.
  const pieces = mapInOrder(piecesOf(content, buffers.size), 2 * buffers.count, ({ offset, length }) =>
    buffers.with(async buffer => {
      signal?.throwIfAborted()
      const piece = buffer.subarray(0, length)
      await content.read(offset, piece)
      await withStorageErrors({ verb: 'write', path, position: offset, length }, async () => {
        for (let done = (await direct?.write(offset, piece)) ?? 0; done < length; ) {
          done += (await file.write(piece, done, length - done, offset + done)).bytesWritten
        }
      })
      return length
    }),
  )
  try {
    for await (const length of pieces) onCopied(length)
  } finally {
    await direct?.close()
  }
}

async function* piecesOf(content: BlockDevice, size: number): AsyncGenerator<Range> {
  for await (const { offset, length } of content.dataRanges()) {
    for (let done = 0; done < length; done += size)
      yield { offset: offset + done, length: Math.min(size, length - done) }
  }
}
