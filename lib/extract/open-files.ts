/** An image opened down to the files of one of its volumes: what every command about files begins with. */
import type { Manifest } from '../copy/manifest.ts'
import { readManifest } from '../copy/read-manifest.ts'
import type { BlockDevice } from '../device/block-device.ts'
import { LostRangesDevice } from '../device/lost-ranges-device.ts'
import { FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type OpenDiskOptions, openDisk } from '../image/open-disk.ts'
import { type OpenedImage, openImageIn } from '../image/open-image.ts'
import { type PartitionTable, readPartitionTable } from '../partition/partition-table.ts'
import { chooseVolume, type ReadableVolume } from './choose-volume.ts'

/** Which disk is meant: that of an image, or of an image inside of it. */
export interface OpenDiskInsideOptions extends OpenDiskOptions {
  /**
   * Images inside the image, the outermost first, each a path in the volume that is chosen as if none were given, or in
   * partition N of it when it begins with `N:`.
   */
  readonly inside?: readonly string[] | undefined
}

/** Which volume of a disk is meant. */
export interface OpenFilesOptions extends OpenDiskInsideOptions {
  /** The partition's number. Default: the volume with \Windows, else the largest whose files can be read. */
  readonly partition?: number | undefined
}

/** The disk in an image, or in an image inside of it. Closing it closes all of them. */
export interface OpenedDiskInside extends AsyncDisposable {
  readonly image: OpenedImage
  /** The files of this system that it is read from: the image at the path, and its parents. */
  readonly sources: readonly string[]
  /** Which volumes were taken on the way, in words for people; empty when there was nothing to choose. */
  readonly notes: readonly string[]
  /** What a user should know of the images and the volumes on the way. */
  readonly findings: readonly Finding[]
  close(): Promise<void>
}

/** The files of one volume of an image. Closing it closes the image. */
export interface OpenedFiles extends ReadableVolume, AsyncDisposable {
  readonly disk: BlockDevice
  readonly table: PartitionTable
  /** The files of this system that it is read from: the image at the path, and its parents. */
  readonly sources: readonly string[]
  /** Which volumes were taken, in words for people; empty when there was nothing to choose. */
  readonly notes: readonly string[]
  /** What a user should know of the images and the volumes: a dirty log, hibernated, a backup structure used. */
  readonly findings: readonly Finding[]
  close(): Promise<void>
}

/**
 * Opens the image, disk or bare volume at `path`, or an image inside of it.
 * Throws what `openDisk`, `openImageIn`, `readPartitionTable` and `chooseVolume` throw.
 */
export async function openDiskInside(path: string, options: OpenDiskInsideOptions = {}): Promise<OpenedDiskInside> {
  const { inside = [], ...diskOptions } = options
  const images: OpenedImage[] = []
  const close = async () => {
    for (let image = images.pop(); image !== undefined; image = images.pop()) await image.close()
  }
  const [notes, findings] = [[] as string[], [] as Finding[]]
  try {
    let image: OpenedImage = await openDisk(path, diskOptions)
    images.push(image)
    findings.push(...image.findings)
    const sources = [path, ...image.chain.slice(1).map(parent => parent.path)]
    for (const place of inside) {
      const [, number, inner] = /^(?:(\d{1,3}):)?(.*)$/s.exec(place)!
      const outer = await openVolumeOf(image.disk, number === undefined ? undefined : Number(number))
      notes.push(...outer.notes)
      findings.push(...outer.findings)
      image = await openImageIn(outer.files, inner!)
      images.push(image)
      findings.push(...image.findings)
    }
    return { image, sources, notes, findings, close, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/**
 * Opens the disk as `openDiskInside` does, and the files of one of its volumes.
 * Throws what `openDiskInside`, `readPartitionTable` and `chooseVolume` throw.
 */
export async function openFiles(path: string, options: OpenFilesOptions = {}): Promise<OpenedFiles> {
  const { partition, ...diskOptions } = options
  const { image, sources, notes, findings, close } = await openDiskInside(path, diskOptions)
  try {
    const opened = await openVolumeOf(image.disk, partition)
    return {
      ...opened,
      sources,
      notes: [...notes, ...opened.notes],
      findings: [...findings, ...opened.findings],
      close,
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function openVolumeOf(captured: BlockDevice, partition?: number) {
  const findings: Finding[] = []
  const { disk, leftOut } = await withoutFalseZeros(captured, findings)
  const table = await readPartitionTable(disk, { truncated: 'cut' })
  const { note, findings: passedOver, ...chosen } = await chooseVolume({ disk, table, leftOut }, partition)
  const { number } = chosen.partition
  const inPartition = (finding: Finding): Finding =>
    table.type === 'none' ? finding : { ...finding, message: `partition ${number}: ${finding.message}` }
  findings.push(
    ...table.findings,
    ...passedOver,
    ...[...chosen.volume.hazards, ...chosen.volume.findings].map(inPartition),
  )
  return { ...chosen, disk, table, notes: note === undefined ? [] : [note], findings }
}

/**
 * What the capture left out and what it could not read, by its manifest, so that neither is taken for zeros. A manifest that
 * cannot be used is a finding: the files can.
 */
async function withoutFalseZeros(
  disk: BlockDevice,
  findings: Finding[],
): Promise<{ disk: BlockDevice; leftOut: Manifest['leftOut'] }> {
  let manifest: Manifest | undefined
  try {
    manifest = await readManifest(disk)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    findings.push({ code: error.code, message: error.message, details: error.details })
  }
  if (manifest === undefined) return { disk, leftOut: [] }
  const { leftOut, leftOutCount, readErrors } = manifest
  const unnamed = leftOutCount - leftOut.length
  if (unnamed > 0) {
    const message = `the capture left out ${unnamed} more files than its manifest has room to name: they read as zeros`
    findings.push({ code: 'LEFT_OUT_UNNAMED', message, details: { count: unnamed } })
  }
  if (readErrors.truncated) {
    const message =
      'the capture could not read more places of the disk than its manifest has room to name: they read as zeros'
    findings.push({ code: 'READ_ERRORS_UNNAMED', message, details: { bytes: readErrors.bytes } })
  }
  return { disk: readErrors.ranges.length === 0 ? disk : new LostRangesDevice(disk, readErrors.ranges), leftOut }
}
