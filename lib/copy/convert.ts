/** A disk in one form becomes the same disk in another: prepared, copied, checked, and only then given its name. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Finding } from '../finding.ts'
import { freeSpace } from '../platform/free-space.ts'
import { hostFileSystem } from '../platform/host-file-system.ts'
import { BlockCounter } from './block-counter.ts'
import { type BlockWriter, FileBlockWriter, type StoreContent } from './block-writer.ts'
import {
  type ConvertedImage,
  type ConvertOptions,
  convertedImage,
  openSource,
  type PreparedConversion,
  prepareConversion,
  refuseHazards,
} from './convert-plan.ts'
import { copyWindows } from './copy-windows.ts'
import { DenseWriter } from './dense-writer.ts'
import { OutputFile } from './output-file.ts'
import { RescuingReader } from './rescuing-reader.ts'
import { SharedContent } from './shared-content.ts'

/** What a conversion did. Sizes are bytes. */
export interface ConvertSummary {
  readonly image: ConvertedImage
  readonly bytesRead: number
  /** Size of the file. */
  readonly bytesWritten: number
  /** Of these, what it shares with the files it was read from, where the file system can. */
  readonly sharedBytes: number
  /** Blocks allocated in it; null where there are none. */
  readonly blocks: number | null
  readonly seconds: number
  readonly findings: readonly Finding[]
}

/**
 * Writes the disk in an image, with all that its parents hold of it, or a raw disk, as a VHDX, a VHD or a raw disk. Only what
 * may be data is read, and blocks of zeros get no place. The file has its name only when it is whole and checked.
 *
 * Throws OptionError for what cannot be written, RefusedError (source mounted for writing, target there already),
 * UnsupportedError (VHD_SECTOR_SIZE, and what opening throws), FormatError (a damaged image), StorageError (no space; a
 * sector that cannot be read ends it, for there is nothing to write in its place), InterruptedError.
 */
export async function convertDisk(options: ConvertOptions): Promise<ConvertSummary> {
  const started = Date.now()
  const { target: path, force = false, onFinding } = options
  await using source = await openSource(options)
  const prepared = await prepareConversion(source, options)
  if (!force) refuseHazards(prepared.hazards)
  const { target } = prepared
  const found: Finding[] = []
  const find = (finding: Finding) => {
    found.push(finding)
    onFinding?.(finding)
  }
  for (const finding of [...prepared.hazards, ...prepared.findings]) find(finding)
  for (const finding of (await hostFileSystem(path)).findings) find(finding)
  const needed = await neededSpace(prepared, options)
  await using output = await OutputFile.create(path, { overwrite: force, needed })
  const copied = await copy(prepared, output.device, options)
  for (const finding of await target.check(output.device)) find(finding)
  options.signal?.throwIfAborted()
  const bytesWritten = output.device.size
  await output.complete()
  return {
    image: convertedImage(target),
    ...copied,
    bytesWritten,
    seconds: (Date.now() - started) / 1000,
    findings: found,
  }
}

/** Bytes the file will have. Where that decides whether there is room, the source is read once more, for its zeros. */
async function neededSpace(prepared: PreparedConversion, options: ConvertOptions): Promise<number> {
  const { target, data } = prepared
  const most = target.fileSize(data.blocks)
  if (target.place !== undefined || most <= (await freeSpace(options.target))) return most
  const counter = new BlockCounter(target.blockSize!)
  await readInto(counter, prepared, options.signal, meter('measuring', data.bytes, options))
  return target.fileSize(counter.blocks)
}

async function copy(prepared: PreparedConversion, file: BlockDevice, options: ConvertOptions) {
  const { source, target, data } = prepared
  const { place, blockSize } = target
  const { signal } = options
  const image = await target.begin(file)
  const advance = meter('copying', place?.length ?? data.bytes, options)
  const shared = new SharedContent(source.disk, file)
  const store: StoreContent = (...content) => shared.store(...content)
  let [bytesRead, blocks] = [0, null as number | null]
  if (place === undefined) {
    const writer = new FileBlockWriter(file, image.placer!, store)
    bytesRead = await readInto(writer, prepared, signal, advance)
    blocks = writer.blocks
  } else {
    const writer = new DenseWriter(file, place, { onWritten: advance, store, signal })
    bytesRead = await readInto(writer, prepared, signal)
    if (blockSize !== undefined) blocks = place.length / blockSize
  }
  options.onProgress?.({ phase: 'flushing', done: 0, total: 0 })
  await image.finish()
  return { bytesRead, sharedBytes: shared.bytes, blocks }
}

/** Gives `writer` all that may be data of the source, and returns how many bytes were read. */
async function readInto(
  writer: BlockWriter,
  { source, target }: PreparedConversion,
  signal: AbortSignal | undefined,
  onProgress?: (bytes: number) => void,
): Promise<number> {
  const reader = new RescuingReader(source.disk, 'fail', signal)
  const size = target.virtualSize
  await copyWindows({ reader, writer, ranges: source.disk.dataRanges(), size, patches: [], signal, onProgress })
  return reader.bytesRead
}

/** Reports the start of a phase of `total` bytes, and then what it is called with. */
function meter(phase: string, total: number, { onProgress }: ConvertOptions): (bytes: number) => void {
  let done = 0
  onProgress?.({ phase, done, total })
  return bytes => {
    done += bytes
    onProgress?.({ phase, done, total })
  }
}
