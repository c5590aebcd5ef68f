/** A few buffers that many readers share: as many pieces are in flight at once as there are buffers. */
export class BufferPool {
  readonly count: number
  /** Bytes of each. */
  readonly size: number
  readonly #free: Buffer[]
  readonly #waiting: ((buffer: Buffer) => void)[] = []

  constructor(count: number, size: number, allocate: (size: number) => Buffer = Buffer.allocUnsafeSlow) {
    this.count = count
    this.size = size
    this.#free = Array.from({ length: count }, () => allocate(size))
  }

  /** What `use` gives, with a buffer that is its own meanwhile. */
  async with<T>(use: (buffer: Buffer) => Promise<T>): Promise<T> {
    const buffer = this.#free.pop() ?? (await new Promise<Buffer>(resolve => this.#waiting.push(resolve)))
    try {
      return await use(buffer)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free.push(buffer)
      else next(buffer)
    }
  }
}
