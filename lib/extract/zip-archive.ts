/** Zip archives, deflated, with Zip64 where it takes that. The one door to zip-stream. */
import { once } from 'node:events'
import { Readable } from 'node:stream'
import ZipStream, { type FileDataInput } from 'zip-stream'
import type { Archive, ArchiveSink, Member } from './archive.ts'

/** What the two bytes of a date can say. */
const EARLIEST = new Date(1980, 0, 1)
const LATEST = new Date(2107, 11, 31, 23, 59, 58)

/** Writes a zip archive to `sink`. Times are local, to two seconds: all that every reader of zip understands. */
export class ZipArchive implements Archive {
  readonly hardLink = undefined
  readonly #zip = new ZipStream({ forceLocalTime: true })
  readonly #written: Promise<void>

  constructor(sink: ArchiveSink) {
    this.#written = this.#pump(sink)
    // Thrown by whatever is written next.
    this.#written.catch(error => this.#zip.destroy(error))
  }

  folder(member: Member): Promise<void> {
    return this.#add('', { name: `${member.path}/`, type: 'directory', mode: 0o40755, date: dateOf(member) })
  }

  file(member: Member, _size: number, content: AsyncIterable<Buffer>): Promise<void> {
    const mode = member.readOnly ? 0o100444 : 0o100644
    return this.#add(Readable.from(content, { objectMode: false }), { name: member.path, mode, date: dateOf(member) })
  }

  link(member: Member, target: string): Promise<void> {
    const facts = {
      name: member.path,
      type: 'symlink',
      linkname: target,
      mode: 0o120777,
      date: dateOf(member),
    } as const
    return this.#add(null, facts)
  }

  async finish(): Promise<void> {
    this.#zip.finish()
    await this.#written
  }

  async #pump(sink: ArchiveSink): Promise<void> {
    for await (const chunk of this.#zip) await sink.write(chunk)
  }

  async #add(content: Readable | string | null, facts: FileDataInput): Promise<void> {
    const added = new Promise<void>((resolve, reject) => {
      this.#zip.entry(content, facts, error => (error ? reject(error) : resolve()))
    })
    // The sink may fail meanwhile, and then nobody calls back.
    await Promise.race([added, this.#written])
    if (this.#zip.writableNeedDrain) await Promise.race([once(this.#zip, 'drain'), this.#written])
  }
}

function dateOf({ modified }: Member): Date {
  const date = modified === undefined ? EARLIEST : new Date(1000 * modified)
  if (date < EARLIEST) return EARLIEST
  return date > LATEST ? LATEST : date
}
