/** An image opened down to the files of one of its volumes: what every command about files begins with. */
import { readManifest } from '../copy/read-manifest.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type OpenDiskOptions, openDisk } from '../image/open-disk.ts'
import { type PartitionTable, readPartitionTable } from '../partition/partition-table.ts'
import type { LeftOut } from '../volume/left-out.ts'
import { chooseVolume, type ReadableVolume } from './choose-volume.ts'

/** Which volume of an image is meant. */
export interface OpenFilesOptions extends OpenDiskOptions {
  /** The partition's number. Default: the volume with \Windows, else the largest whose files can be read. */
  readonly partition?: number | undefined
}

/** The files of one volume of an image. Closing it closes the image. */
export interface OpenedFiles extends ReadableVolume, AsyncDisposable {
  readonly disk: BlockDevice
  readonly table: PartitionTable
  /** Which volume was taken, in words for people; undefined when there was nothing to choose. */
  readonly note: string | undefined
  /** What a user should know of the disk and the volume: dirty, hibernated, a backup structure used. */
  readonly findings: readonly Finding[]
  close(): Promise<void>
}

/**
 * Opens the image, disk or bare volume at `path` and the files of one of its volumes.
 * Throws what `openDisk`, `readPartitionTable` and `chooseVolume` throw.
 */
export async function openFiles(path: string, options: OpenFilesOptions = {}): Promise<OpenedFiles> {
  const { partition, ...diskOptions } = options
  const opened = await openDisk(path, diskOptions)
  try {
    const { disk } = opened
    const findings: Finding[] = []
    const table = await readPartitionTable(disk, { truncated: 'cut' })
    const leftOut = await leftOutOf(disk, findings)
    const { note, findings: passedOver, ...chosen } = await chooseVolume({ disk, table, leftOut }, partition)
    const inPartition = (finding: Finding): Finding =>
      table.type === 'none'
        ? finding
        : { ...finding, message: `partition ${chosen.partition.number}: ${finding.message}` }
    findings.push(
      ...table.findings,
      ...passedOver,
      ...[...chosen.volume.hazards, ...chosen.volume.findings].map(inPartition),
    )
    const close = () => opened.close()
    return { ...chosen, disk, table, note, findings, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await opened.close()
    throw error
  }
}

/** What the capture left out, so that it is not taken for zeros. A manifest that cannot be read is a finding: the files can. */
async function leftOutOf(
  disk: BlockDevice,
  findings: Finding[],
): Promise<readonly (LeftOut & { readonly partition: number })[]> {
  try {
    const manifest = await readManifest(disk)
    if (manifest === undefined) return []
    const missing = manifest.leftOutCount - manifest.leftOut.length
    if (missing > 0) {
      const message = `the capture left out ${missing} more files than its manifest has room to name: they read as zeros`
      findings.push({ code: 'LEFT_OUT_UNNAMED', message, details: { count: missing } })
    }
    return manifest.leftOut
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    findings.push({ code: error.code, message: error.message, details: error.details })
    return []
  }
}
