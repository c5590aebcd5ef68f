/** Which volume of an image is meant: the one that was asked for, the one with Windows, or the largest. */
import { formatSize } from '../binary/size.ts'
import { ReadAheadDevice } from '../device/read-ahead-device.ts'
import { SliceDevice } from '../device/slice-device.ts'
import { DiskImageError, FormatError, NotFoundError, retold, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { openVolume } from '../image/open-volume.ts'
import type { Partition } from '../partition/partition-table.ts'
import type { Files } from '../volume/files.ts'
import type { Volume } from '../volume/volume.ts'
import type { ChainLosses } from './chain-losses.ts'
import { type PartitionedDisk, partitionsOf } from './disk-partitions.ts'
import { DoubtedFiles } from './doubted-files.ts'

/** A volume whose files can be read. */
export interface ReadableVolume {
  readonly partition: Partition
  readonly volume: Volume
  readonly files: Files
}

/** A volume that was chosen among those of a disk. */
export interface VolumeChoice extends ReadableVolume {
  /** Which one was taken and why, for people; undefined when there was nothing to choose. */
  readonly note: string | undefined
  /** What other volumes would have been asked for, but could not be read. */
  readonly findings: readonly Finding[]
}

/** A partition whose files cannot be had, and why. */
interface UnreadableVolume {
  readonly partition: Partition
  readonly error: DiskImageError
}

/** What is known of the disk. */
export interface KnownDisk extends PartitionedDisk {
  readonly losses: ChainLosses
}

/**
 * Partition `number` of the disk; unless told, the volume with \Windows, else the largest whose files can be read.
 * Throws NotFoundError (NO_SUCH_PARTITION); UnsupportedError or FormatError (NO_READABLE_VOLUME), or what is wrong with
 * the partition that was asked for: the message lists the partitions.
 */
export async function chooseVolume(known: KnownDisk, number?: number): Promise<VolumeChoice> {
  const partitions = partitionsOf(known)
  if (number === undefined) return chooseByContent(known, partitions)
  const partition = partitions.find(candidate => candidate.number === number)
  if (partition === undefined) throw noSuchPartition(number, partitions)
  const found = await tryVolume(known, partition)
  if ('error' in found) throw unreadablePartition(found, partitions)
  return { ...found, note: undefined, findings: [] }
}

async function chooseByContent(known: KnownDisk, partitions: readonly Partition[]): Promise<VolumeChoice> {
  const readable: (ReadableVolume & { readonly hasWindows: boolean })[] = []
  const unreadable: UnreadableVolume[] = []
  for (const partition of partitions) {
    const found = await tryVolume(known, partition)
    if ('error' in found) unreadable.push(found)
    else readable.push({ ...found, hasWindows: await hasWindows(found.files) })
  }
  const bySize = (a: ReadableVolume, b: ReadableVolume) => b.partition.size - a.partition.size
  const [chosen] = readable.sort((a, b) => Number(b.hasWindows) - Number(a.hasWindows) || bySize(a, b))
  if (chosen === undefined) throw noReadableVolume(unreadable)
  const { hasWindows: isWindows, ...volume } = chosen
  const reason = isWindows
    ? 'it has \\Windows'
    : readable.length > 1
      ? 'the largest of those that can be read'
      : 'the only one whose files can be read'
  return {
    ...volume,
    note: partitions.length > 1 ? `taking ${describeVolume(volume)}: ${reason}; --partition takes another` : undefined,
    findings: unreadable.filter(({ error }) => !(error instanceof UnsupportedError)).map(passedOver),
  }
}

async function tryVolume(known: KnownDisk, partition: Partition): Promise<ReadableVolume | UnreadableVolume> {
  const { disk, losses } = known
  const slice = new SliceDevice(disk, { offset: partition.offset, length: partition.size })
  const device = new ReadAheadDevice(slice)
  try {
    const volume = await openVolume(device, partition.typeId)
    const leftOut = await losses.leftOutOf(partition.number, () => volume.openFiles())
    const files = await volume.openFiles({ leftOut })
    return { partition, volume, files: losses.doubt === undefined ? files : new DoubtedFiles(files, losses.doubt) }
  } catch (error) {
    if (!(error instanceof DiskImageError) || error.code === 'DEVICE_GONE') throw error
    return { partition, error }
  }
}

async function hasWindows(files: Files): Promise<boolean> {
  try {
    return (await files.stat('/Windows/System32')).kind === 'directory'
  } catch (error) {
    if (!(error instanceof DiskImageError) || error.code === 'DEVICE_GONE') throw error
    return false
  }
}

const describeVolume = ({ partition: { number, size }, volume: { fileSystem, label } }: ReadableVolume) =>
  `partition ${number} (${fileSystem}${label ? ` "${label}"` : ''}, ${formatSize(size)})`

const describePartition = ({ number, typeName, size }: Partition) => `${number} (${typeName}, ${formatSize(size)})`

const listed = (partitions: readonly Partition[]) =>
  partitions.length === 0 ? 'It has none' : `It has: ${partitions.map(describePartition).join(', ')}`

const passedOver = ({ partition, error }: UnreadableVolume): Finding => ({
  code: 'VOLUME_PASSED_OVER',
  message: `partition ${partition.number} was passed over: ${error.message}`,
  details: { partition: partition.number, error: error.code },
})

const noSuchPartition = (number: number, partitions: readonly Partition[]) =>
  new NotFoundError('NO_SUCH_PARTITION', `the disk has no partition ${number}. ${listed(partitions)}`, { number })

function unreadablePartition({ partition, error }: UnreadableVolume, partitions: readonly Partition[]): DiskImageError {
  if (partitions.length === 1) return error
  const message = `partition ${partition.number}: ${error.message}. ${listed(partitions)}`
  return retold(error, message, { partition: partition.number })
}

/** One volume's own error where there is but one; damage, when any of them is damaged, for that is worth more than what is not supported. */
function noReadableVolume(unreadable: readonly UnreadableVolume[]): DiskImageError {
  if (unreadable.length === 0) return new NotFoundError('NO_READABLE_VOLUME', 'the partition table lists no partition')
  if (unreadable.length === 1) return unreadable[0]!.error
  const type = unreadable.some(({ error }) => error instanceof FormatError) ? FormatError : UnsupportedError
  const reasons = unreadable.map(({ partition, error }) => `${describePartition(partition)}: ${error.message}`)
  return new type('NO_READABLE_VOLUME', `the files of no partition can be read here. ${reasons.join('; ')}`)
}
