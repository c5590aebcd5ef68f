/** Paths as people give them, where one may name a stream beside the content: `/Users/anna/thesis.docx:notes`. */
import { NotFoundError } from '../errors.ts'
import type { Entry } from '../volume/entry.ts'
import type { Files } from '../volume/files.ts'

/** What a path means: an entry, or one of its streams. */
export interface StreamPath {
  readonly entry: Entry
  /** Undefined for the content itself. */
  readonly stream: string | undefined
}

/**
 * The entry at `path`. Where there is none of that name and the last name has a colon, what is before it names the entry
 * and what is behind it a stream; `$DATA`, the type that Windows lets one add, may follow a second colon. Whether there
 * is such a stream shows when it is opened; its case does not matter. Throws what `Files.stat` throws for the whole path.
 */
export async function findStream(files: Files, path: string): Promise<StreamPath> {
  try {
    return { entry: await files.stat(path), stream: undefined }
  } catch (error) {
    const split = /^(.*?[^/\\:]):([^/\\:]*)(?::\$DATA)?$/is.exec(path)
    if (!(error instanceof NotFoundError) || split === null) throw error
    const [, filePath, stream] = split
    const entry = await files.stat(filePath!).catch(() => {
      throw error
    })
    return { entry, stream: stream === '' ? undefined : asListed(entry, stream!) }
  }
}

function asListed({ streams }: Entry, stream: string): string {
  if (streams.some(({ name }) => name === stream)) return stream
  return streams.find(({ name }) => name.toUpperCase() === stream.toUpperCase())?.name ?? stream
}
