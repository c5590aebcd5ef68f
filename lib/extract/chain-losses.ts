/** What an image and its parents lack of the disks they were made of, so that it is not taken for zeros. */
import { readCaptureLosses } from '../copy/capture-losses.ts'
import type { Manifest } from '../copy/manifest.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { LostRangesDevice } from '../device/lost-ranges-device.ts'
import { intersect, type Range } from '../device/ranges.ts'
import { SliceDevice } from '../device/slice-device.ts'
import { DiskImageError, StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { openVolume } from '../image/open-volume.ts'
import { readPartitionTable } from '../partition/partition-table.ts'
import type { Files } from '../volume/files.ts'
import type { LeftOut } from '../volume/left-out.ts'
import { partitionsOf } from './disk-partitions.ts'

type LeftOutFile = Manifest['leftOut'][number]

/** Bytes of a parent's disk that were left out, and whose they are. */
interface LeftOutPiece extends Range {
  readonly file: LeftOutFile
}

/** Collected while an image and its parents are opened. */
export class ChainLosses {
  readonly findings: Finding[] = []
  /** Why files may lack their content that no manifest names, as a clause; undefined when there are none. */
  doubt: string | undefined
  #leftOut: readonly LeftOutFile[] = []
  readonly #leftOutOfParents: LeftOutFile[] = []

  /** The disk of the image itself, where what could not be read cannot be read again. Its left-out files are known by their names. */
  async ofImage(disk: BlockDevice): Promise<BlockDevice> {
    const { leftOut, unread, doubt, findings } = await readCaptureLosses(disk)
    this.#leftOut = leftOut
    this.doubt ??= doubt
    this.findings.push(...findings)
    return withoutUnread(disk, unread)
  }

  /**
   * The disk of the parent at `path`, where what it lacks cannot be read. A child hides what it has written itself, so
   * that a file which was left out and then written again is read.
   */
  async ofParent(disk: BlockDevice, path: string): Promise<BlockDevice> {
    const { leftOut, unread, doubt, findings } = await readCaptureLosses(disk)
    this.doubt ??= doubt
    this.findings.push(
      ...findings.map(finding => ({ ...finding, message: `in the parent ${path}: ${finding.message}` })),
    )
    this.#leftOutOfParents.push(...leftOut)
    const pieces = leftOut.length === 0 ? [] : await this.#locate(disk, leftOut)
    const known = withoutUnread(disk, unread)
    if (pieces.length === 0) return known
    return new LostRangesDevice(known, pieces, lost => {
      const { file } = pieces.find(piece => intersect(piece, lost) !== undefined)!
      return new StorageError(
        'LEFT_OUT',
        `${lost.length} bytes at byte ${lost.offset} of the disk are content of ${file.path}, which was left out when ${path} was captured (${file.reason})`,
        { position: lost.offset, length: lost.length, path: file.path, reason: file.reason },
      )
    })
  }

  /** What is known to be left out of the volume in `partition`. `openFiles` opens its files as if nothing were. */
  async leftOutOf(partition: number, openFiles: () => Promise<Files>): Promise<readonly LeftOut[]> {
    const known = this.#leftOut.filter(file => file.partition === partition)
    const ofParents = this.#leftOutOfParents.filter(file => file.partition === partition)
    if (ofParents.length === 0) return known
    const files = await openFiles()
    for (const file of ofParents) if (await isStillLeftOut(file, files)) known.push(file)
    return known
  }

  /** Where the content of the files lies on the disk they were left out of. What cannot be found is in doubt. */
  async #locate(disk: BlockDevice, leftOut: readonly LeftOutFile[]): Promise<LeftOutPiece[]> {
    const pieces: LeftOutPiece[] = []
    await this.#orDoubt(async () => {
      const table = await readPartitionTable(disk, { truncated: 'cut' })
      for (const { number, offset, size, typeId } of partitionsOf({ disk, table })) {
        const wanted = leftOut.filter(({ partition }) => partition === number)
        if (wanted.length === 0) continue
        const volume = await openVolume(new SliceDevice(disk, { offset, length: size }), typeId)
        const files = await volume.openFiles()
        for (const file of wanted) {
          await this.#orDoubt(async () => {
            for (const run of await runsOf(files, file)) pieces.push({ ...run, offset: offset + run.offset, file })
          })
        }
      }
    })
    return pieces
  }

  async #orDoubt(locate: () => Promise<void>): Promise<void> {
    try {
      await locate()
    } catch (error) {
      if (!(error instanceof DiskImageError) || error.code === 'DEVICE_GONE') throw error
      this.doubt ??= `what was left out of a parent is not found there, ${error.message}`
    }
  }
}

/** Where the content of `file` lies on its volume. Throws what looking it up throws. */
async function runsOf(files: Files, file: LeftOutFile): Promise<Range[]> {
  const entry = await files.stat(file.path)
  const { attributes } = await files.details(entry)
  const content = attributes.find(({ type, name }) => type === '$DATA' && name === '')
  return (content?.runs ?? []).flatMap(({ content: { length }, position }) =>
    position === undefined ? [] : [{ offset: position, length }],
  )
}

/** Whether the beginning of a file is still what a parent lacks. Whatever else of it is shows when it is read. */
async function isStillLeftOut(file: LeftOutFile, files: Files): Promise<boolean> {
  try {
    const content = await files.open(await files.stat(file.path))
    await content.read(0, Buffer.alloc(Math.min(1, content.size)))
    return false
  } catch (error) {
    if (!(error instanceof DiskImageError) || error.code === 'DEVICE_GONE') throw error
    return error.code === 'LEFT_OUT'
  }
}

function withoutUnread(disk: BlockDevice, unread: readonly Range[]): BlockDevice {
  if (unread.length === 0) return disk
  return new LostRangesDevice(disk, unread, ({ offset, length }) => {
    const message = `${length} bytes at byte ${offset} of the disk could not be read when it was captured, and are lost`
    return new StorageError('READ_ERROR', message, { position: offset, length })
  })
}
