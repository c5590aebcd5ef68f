/** A file's content from its start to its end. */
import { MiB } from '../binary/size.ts'
import type { BlockDevice } from '../device/block-device.ts'

const PIECE_SIZE = MiB

/**
 * The bytes of `device` in order. While one piece is used the next is read; a piece is its reader's until it asks for
 * the one after it. Throws what reading throws.
 */
export async function* readContent(device: BlockDevice): AsyncGenerator<Buffer> {
  const buffers = [0, PIECE_SIZE].map(first =>
    Buffer.allocUnsafe(Math.min(PIECE_SIZE, Math.max(0, device.size - first))),
  )
  const start = async (offset: number): Promise<Buffer> => {
    const buffer = buffers[(offset / PIECE_SIZE) % 2]!
    const piece = buffer.subarray(0, Math.min(buffer.length, device.size - offset))
    await device.read(offset, piece)
    return piece
  }
  let next = device.size > 0 ? start(0) : undefined
  try {
    for (let offset = 0; next !== undefined; ) {
      const piece: Buffer = await next
      offset += piece.length
      next = offset < device.size ? start(offset) : undefined
      // Awaited in its turn; until then a rejection is not unhandled.
      next?.catch(() => {})
      yield piece
    }
  } finally {
    await next?.catch(() => {})
  }
}
