/** What every kind of archive is to the copying into it: a stream of members, written in one pass. */

/** Where the bytes of an archive go. */
export interface ArchiveSink {
  /** Resolves when it can take more. `bytes` are the sink's. */
  write(bytes: Buffer): Promise<void>
}

/** Something in an archive. */
export interface Member {
  /** With '/' between names, each of which is safe. */
  readonly path: string
  /** Seconds since 1970. */
  readonly modified: number | undefined
  readonly accessed: number | undefined
  readonly readOnly: boolean
}

/** An archive being written. Members come one after the other. Every method throws what the sink throws. */
export interface Archive {
  folder(member: Member): Promise<void>
  /** `content` has `size` bytes, in buffers of their own. Throws what `content` throws; the archive is then of no use. */
  file(member: Member, size: number, content: AsyncIterable<Buffer>): Promise<void>
  /** A symbolic link. */
  link(member: Member, target: string): Promise<void>
  /** Another name of the file `target`, which is in the archive; undefined in archives that have no such thing. */
  readonly hardLink: ((member: Member, target: string) => Promise<void>) | undefined
  /** Writes the end. */
  finish(): Promise<void>
}
