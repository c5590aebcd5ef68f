/** An image opened down to the files of one of its volumes: what every command about files begins with. */
import type { BlockDevice } from '../device/block-device.ts'
import type { Finding } from '../finding.ts'
import { isFormality } from '../image/formality.ts'
import { type OpenDiskOptions, openDisk } from '../image/open-disk.ts'
import { type OpenedImage, type OpenImageOptions, openImageIn } from '../image/open-image.ts'
import { type PartitionTable, readPartitionTable } from '../partition/partition-table.ts'
import { ChainLosses } from './chain-losses.ts'
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

/** The innermost image, with what it and its parents lack. */
interface DiskWithLosses extends OpenedDiskInside {
  readonly losses: ChainLosses
}

/**
 * Opens the image, disk or bare volume at `path`, or an image inside of it.
 * Throws what `openDisk`, `openImageIn`, `readPartitionTable` and `chooseVolume` throw.
 */
export function openDiskInside(path: string, options: OpenDiskInsideOptions = {}): Promise<OpenedDiskInside> {
  return openInside(path, options)
}

async function openInside(path: string, { inside = [], ...options }: OpenDiskInsideOptions): Promise<DiskWithLosses> {
  const images: OpenedImage[] = []
  const close = async () => {
    for (let image = images.pop(); image !== undefined; image = images.pop()) await image.close()
  }
  const [notes, findings] = [[] as string[], [] as Finding[]]
  const add = async (open: (options: OpenImageOptions) => Promise<OpenedImage>) => {
    const losses = new ChainLosses()
    const image = await open({ asParent: (disk, { path }) => losses.ofParent(disk, path) })
    images.push(image)
    findings.push(...image.findings.filter(finding => !isFormality(finding)))
    return { image, losses }
  }
  try {
    let innermost = await add(({ asParent }) => openDisk(path, { ...options, asParent }))
    const sources = [path, ...innermost.image.chain.slice(1).map(parent => parent.path)]
    for (const place of inside) {
      const [, number, inner] = /^(?:(\d{1,3}):)?(.*)$/s.exec(place)!
      const outer = await openVolumeOf(innermost, number === undefined ? undefined : Number(number))
      notes.push(...outer.notes)
      findings.push(...outer.findings)
      innermost = await add(({ asParent }) => openImageIn(outer.files, inner!, { asParent }))
    }
    return { ...innermost, sources, notes, findings, close, [Symbol.asyncDispose]: close }
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
  const { image, losses, sources, notes, findings, close } = await openInside(path, diskOptions)
  try {
    const opened = await openVolumeOf({ image, losses }, partition)
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

async function openVolumeOf({ image, losses }: Pick<DiskWithLosses, 'image' | 'losses'>, partition?: number) {
  const disk = await losses.ofImage(image.disk)
  const table = await readPartitionTable(disk, { truncated: 'cut' })
  const { note, findings: passedOver, ...chosen } = await chooseVolume({ disk, table, losses }, partition)
  const { number } = chosen.partition
  const inPartition = (finding: Finding): Finding =>
    table.type === 'none' ? finding : { ...finding, message: `partition ${number}: ${finding.message}` }
  const findings = [
    ...losses.findings,
    ...table.findings,
    ...passedOver,
    ...[...chosen.volume.hazards, ...chosen.volume.findings].map(inPartition),
  ]
  return { ...chosen, disk, table, notes: note === undefined ? [] : [note], findings }
}
