/** Everything that can be done with the files of a volume: they are found in three ways, which have to agree. */
import type { BlockDevice } from '../../../lib/device/block-device.ts'
import { endOf } from '../../../lib/device/ranges.ts'
import type { Entry } from '../../../lib/volume/entry.ts'
import type { Files } from '../../../lib/volume/files.ts'
import type { Observer } from '../observer.ts'
import { exerciseDevice, READ_BUDGET } from './device.ts'

/** No directory entry of any format takes fewer bytes of the volume. */
const SMALLEST_ENTRY = 32
/** How many entries are looked at one by one, and how deep. Seeds have fewer; circles have more. */
const MAX_ENTRIES = 400
const MAX_DEPTH = 40

export async function exerciseFiles(files: Files, device: BlockDevice, observer: Observer): Promise<void> {
  const scanned = new Map<string, Entry[]>()
  for (const system of [false, true]) {
    await observer.attempt(async () => {
      scanned.clear()
      for (const entry of await scan(files, system, device, observer)) {
        scanned.set(entry.path, [...(scanned.get(entry.path) ?? []), entry])
      }
    })
  }
  let budget = READ_BUDGET
  for (const entry of await walk(files, device, observer)) {
    for (const same of scanned.get(entry.path) ?? []) claimAlike(entry, same, 'a scan', observer)
    await findAgain(files, entry, observer)
    await exerciseDetails(files, entry, device, observer)
    for (const stream of [undefined, ...entry.streams.map(({ name }) => name)]) {
      for (const raw of [false, true])
        budget -= await readStream(files, entry, stream, raw, Math.max(budget, 0), observer)
    }
  }
  observer.findings(files.findings)
}

async function scan(files: Files, system: boolean, device: BlockDevice, observer: Observer): Promise<Entry[]> {
  const found: Entry[] = []
  for await (const batch of files.scan(undefined, { system })) {
    for (const entry of batch) claimEntry(entry, device, observer)
    found.push(...batch)
    const isPossible = found.length <= device.size / SMALLEST_ENTRY
    observer.claim(isPossible, `a scan gives ${found.length} entries of a volume of ${device.size} bytes`)
  }
  return found
}

/** The entries from the root down, by what each directory lists. */
async function walk(files: Files, device: BlockDevice, observer: Observer): Promise<Entry[]> {
  const root = await observer.attempt(() => files.stat('/'))
  const found = root === undefined ? [] : [root]
  for (let i = 0; i < found.length && found.length < MAX_ENTRIES; i++) {
    const directory = found[i]!
    claimEntry(directory, device, observer)
    if (directory.kind !== 'directory' || directory.path.split('/').length > MAX_DEPTH) continue
    await observer.attempt(async () => {
      for await (const entry of files.list(directory, { system: true })) {
        const parent = directory.path === '/' ? '' : directory.path
        observer.claim(entry.path === `${parent}/${entry.name}`, `'${entry.path}' is listed in '${directory.path}'`)
        found.push(entry)
        if (found.length >= MAX_ENTRIES) return
      }
    })
  }
  return found
}

function claimEntry(entry: Entry, device: BlockDevice, observer: Observer): void {
  const { path, name, kind, size, allocatedSize, attributes, record, links, target } = entry
  observer.note(path, kind, size, allocatedSize, attributes, record, links, target)
  observer.claim(path.startsWith('/') && path.endsWith(name), `the path '${path}' of '${name}'`)
  observer.claim(!name.includes('/') && (name !== '' || path === '/'), `the name '${name}' of '${path}'`)
  for (const bytes of [size, allocatedSize, ...entry.streams.map(stream => stream.size)]) {
    observer.claim(Number.isSafeInteger(bytes) && bytes >= 0, `'${path}' has ${bytes} bytes`)
  }
  observer.claim(allocatedSize <= device.size, `'${path}' takes ${allocatedSize} bytes of ${device.size}`)
  observer.claim(kind === 'file' || size === 0, `'${path}' is a ${kind} of ${size} bytes`)
  observer.claim(Number.isSafeInteger(links) && links >= 0, `'${path}' has ${links} names`)
  for (const time of [entry.created, entry.modified, entry.changed, entry.accessed]) {
    observer.claim(time === undefined || typeof time === 'bigint', `'${path}' has the time ${time}`)
    observer.note(time)
  }
  if (entry.error !== undefined) observer.error(entry.error)
}

/** What is listed is found by its path: it, or what has the same name before it. */
async function findAgain(files: Files, entry: Entry, observer: Observer): Promise<void> {
  const found = await observer.attempt(() => files.stat(entry.path))
  if (found === undefined) return
  const isSame = found.path.toUpperCase() === entry.path.toUpperCase() || found.record === entry.record
  observer.claim(isSame, `'${entry.path}' is looked up and '${found.path}' is found`)
  claimAlike(entry, found, 'a look-up', observer)
}

/** What is known of one file in two ways must be the same. Without the number of a record there is no telling whether it is one. */
function claimAlike(listed: Entry, other: Entry, way: string, observer: Observer): void {
  if (listed.record === undefined || listed.record !== other.record) return
  for (const fact of [
    'kind',
    'size',
    'allocatedSize',
    'attributes',
    'links',
    'target',
    'position',
    'modified',
  ] as const) {
    const isSame = listed[fact] === other[fact]
    observer.claim(isSame, `by a list ${fact} of '${listed.path}' is '${listed[fact]}', by ${way} '${other[fact]}'`)
  }
  const [code, otherCode] = [listed.error?.code, other.error?.code]
  observer.claim(code === otherCode, `by a list '${listed.path}' has the error '${code}', by ${way} '${otherCode}'`)
}

async function exerciseDetails(files: Files, entry: Entry, device: BlockDevice, observer: Observer): Promise<void> {
  const details = await observer.attempt(() => files.details(entry))
  if (details === undefined) return
  observer.note(details.sddl, details.reparse?.tagName, JSON.stringify(details.reparse?.facts))
  for (const { type, name, size, runs } of details.attributes) {
    observer.claim(Number.isSafeInteger(size) && size >= 0, `${type} '${name}' of '${entry.path}' has ${size} bytes`)
    for (const { content, position } of runs) {
      const end = (position ?? 0) + (position === undefined ? 0 : content.length)
      observer.claim(endOf(content) > content.offset, `a run of ${content.length} bytes of '${entry.path}'`)
      observer.claim(
        end <= device.size,
        `a run of '${entry.path}' ends at ${end}, past the volume of ${device.size} bytes`,
      )
    }
  }
}

/** Returns how many bytes were read. */
async function readStream(
  files: Files,
  entry: Entry,
  stream: string | undefined,
  raw: boolean,
  budget: number,
  observer: Observer,
): Promise<number> {
  const content = await observer.attempt(() => files.open(entry, stream, { raw }))
  if (content === undefined) return 0
  const declared = stream === undefined ? entry.size : entry.streams.find(({ name }) => name === stream)!.size
  const isTold = raw || entry.error !== undefined || content.size === declared
  observer.claim(
    isTold,
    `'${entry.path}:${stream ?? ''}' is listed with ${declared} bytes and opens with ${content.size}`,
  )
  observer.claim(content.readOnly, `'${entry.path}' opens writable`)
  return await exerciseDevice(content, observer, budget)
}
