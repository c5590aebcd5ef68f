/** Files in memory, under whatever names: what no tool would put on a real volume. */
import type { BlockDevice } from '../../lib/device/block-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { type DiskImageError, NotFoundError } from '../../lib/errors.ts'
import type { Entry, EntryKind } from '../../lib/volume/entry.ts'
import type { EntryDetails, Files } from '../../lib/volume/files.ts'

export interface FakeEntry extends Partial<Entry> {
  readonly name: string
  readonly kind?: EntryKind
  /** What is in a directory. */
  readonly entries?: readonly FakeEntry[]
  /** Or a device, or what opening throws. */
  readonly content?: Buffer | string | BlockDevice | Error
  readonly streamContents?: Readonly<Record<string, string>>
}

type Made = Entry & { readonly fake: FakeEntry }

export class FakeFiles implements Files {
  readonly findings = []
  readonly #root: Made

  constructor(...entries: readonly FakeEntry[]) {
    this.#root = made({ name: '', entries }, '')
  }

  async stat(path: string): Promise<Entry> {
    let entry = this.#root
    for (const name of path.split('/').filter(part => part !== '')) {
      const found = below(entry).find(child => child.name === name)
      if (found === undefined) throw new NotFoundError('NO_SUCH_FILE', `there is no ${name}`)
      entry = found
    }
    return entry
  }

  async *list(directory: Entry): AsyncGenerator<Entry> {
    yield* below(directory as Made)
  }

  /** Everything below, what is in a directory before the directory itself: the contract allows it. */
  async *scan(directory: Entry = this.#root): AsyncGenerator<readonly Entry[]> {
    for (const entry of below(directory as Made)) {
      yield* this.scan(entry)
      yield [entry]
    }
  }

  async open(entry: Entry, stream?: string): Promise<BlockDevice> {
    const { content = '', streamContents = {} } = (entry as Made).fake
    if (stream !== undefined) return new MemoryDevice(Buffer.from(streamContents[stream]!))
    if (content instanceof Error) throw content
    return Buffer.isBuffer(content) || typeof content === 'string' ? new MemoryDevice(Buffer.from(content)) : content
  }

  details(): Promise<EntryDetails> {
    throw new Error('not asked for in these tests')
  }
}

const below = (directory: Made): Made[] =>
  (directory.fake.entries ?? []).map(entry => made(entry, directory.path === '/' ? '' : directory.path))

/** 2020-02-02T20:20:20.2Z */
const TIME = 132_251_484_202_000_000n

function made(fake: FakeEntry, above: string): Made {
  const { entries, content = '', streamContents = {} } = fake
  const kind = fake.kind ?? (entries === undefined ? 'file' : 'directory')
  return {
    path: above === '' && fake.name === '' && entries !== undefined ? '/' : `${above}/${fake.name}`,
    kind,
    size: typeof content === 'string' ? Buffer.byteLength(content) : 'size' in content ? content.size : sizeOf(content),
    allocatedSize: 0,
    modified: TIME,
    created: TIME,
    accessed: TIME,
    changed: TIME,
    attributes: 0,
    record: undefined,
    links: 1,
    streams: Object.entries(streamContents).map(([name, text]) => ({ name, size: Buffer.byteLength(text) })),
    target: undefined,
    position: undefined,
    isSystem: false,
    error: undefined as DiskImageError | undefined,
    ...fake,
    fake,
  }
}

const sizeOf = (content: Buffer | Error) => (Buffer.isBuffer(content) ? content.length : 10)
