/** Tar archives as POSIX has them: with extended (pax) headers for what the old ones cannot say. The one door to modern-tar. */
import { createTarPacker, type TarHeader } from 'modern-tar'
import type { Archive, ArchiveSink, Member } from './archive.ts'

/** The largest time an old header has room for, in octal. */
const LATEST = 8 ** 11 - 1

/** Writes a tar archive to `sink`. */
export class TarArchive implements Archive {
  readonly #packer = createTarPacker()
  readonly #written: Promise<void>

  constructor(sink: ArchiveSink) {
    this.#written = this.#pump(sink)
    // Thrown by whatever is written next.
    this.#written.catch(() => {})
  }

  folder(member: Member): Promise<void> {
    return this.#add({ ...header(member, 0o755), name: `${member.path}/`, type: 'directory' })
  }

  file(member: Member, size: number, content: AsyncIterable<Buffer>): Promise<void> {
    return this.#add({ ...header(member, member.readOnly ? 0o444 : 0o644), size, type: 'file' }, content)
  }

  link(member: Member, target: string): Promise<void> {
    return this.#add({ ...withTarget(header(member, 0o777), target), type: 'symlink' })
  }

  hardLink = (member: Member, target: string): Promise<void> =>
    this.#add({ ...withTarget(header(member, 0o644), target), type: 'link' })

  async finish(): Promise<void> {
    await this.#orSinkError(async () => this.#packer.controller.finalize())
    await this.#written
  }

  async #pump(sink: ArchiveSink): Promise<void> {
    for await (const { buffer, byteOffset, byteLength } of this.#packer.readable) {
      await sink.write(Buffer.from(buffer, byteOffset, byteLength))
    }
  }

  #add(header: TarHeader, content?: AsyncIterable<Buffer>): Promise<void> {
    return this.#orSinkError(async () => {
      const writer = this.#packer.controller.add(header).getWriter()
      if (content !== undefined) for await (const piece of content) await writer.write(piece)
      await writer.close()
    })
  }

  /** When the sink fails the packer is told to stop, and that is all its errors say. */
  async #orSinkError(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (error instanceof DOMException) await this.#written
      throw error
    }
  }
}

function header({ path, modified = 0, accessed }: Member, mode: number): TarHeader & { pax: Pax } {
  const pax: Pax = { mtime: modified.toFixed(7) }
  if (isNotAscii(path)) pax.path = path
  if (accessed !== undefined) pax.atime = accessed.toFixed(7)
  const mtime = new Date(1000 * Math.min(Math.max(Math.floor(modified), 0), LATEST))
  return { name: path, size: 0, mode, mtime, pax }
}

type Pax = Record<string, string>

function withTarget(header: TarHeader & { pax: Pax }, target: string): TarHeader {
  return { ...header, linkname: target, pax: isNotAscii(target) ? { ...header.pax, linkpath: target } : header.pax }
}

const isNotAscii = (text: string) => /[^ -~]/.test(text)
