/** What of a disk is in use, for whoever gives up all else: a volume that is not sure to tell is in use as a whole. */
import type { BlockDevice } from '../device/block-device.ts'
import { type Range, streamOf } from '../device/ranges.ts'
import { unionRanges } from '../device/union-ranges.ts'
import { FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { LeftOutReason } from '../volume/left-out.ts'
import { type DiskSurvey, type SurveyedVolume, surveyDisk } from './disk-survey.ts'

/** A volume of which every sector counts as used. */
export interface WholeVolumeReason {
  /** Undefined for the whole disk. */
  readonly partition: number | undefined
  readonly fileSystem: string
  readonly label: string | undefined
  readonly reason: string
}

export interface UsedRanges {
  readonly whole: readonly WholeVolumeReason[]
  /** In order; can be iterated more than once. */
  ranges(): AsyncIterable<Range>
}

/** Files that Windows makes anew are content like any other here. Not so shadow copies, which show that way. */
const KEPT: readonly LeftOutReason[] = ['pagefile', 'hiberfil', 'swapfile']

/** What a file system may have and be whole. */
const HARMLESS = new Set(['NTFS_BAD_CLUSTERS', 'FAT_BAD_CLUSTERS', 'FAT_FREE_COUNT'])

/** Surveys `disk`. Its damage is no error: what is damaged counts as used. */
export async function findUsedRanges(disk: BlockDevice, signal?: AbortSignal): Promise<UsedRanges> {
  const survey = await surveyOf(disk, signal)
  if (survey instanceof FormatError) {
    const reason = survey.message
    const all = { offset: 0, length: disk.size }
    return {
      whole: [{ partition: undefined, fileSystem: 'unknown', label: undefined, reason }],
      ranges: () => streamOf([all]),
    }
  }
  const whole = survey.volumes.flatMap(entry => {
    const reason = whyWhole(entry)
    return reason === undefined ? [] : [{ ...entry, reason }]
  })
  const extents = whole.map(({ partition }) => ({ offset: partition.offset, length: partition.size }))
  const streams = [...survey.segments, ...extents.map(extent => ({ extent, ranges: () => streamOf([extent]) }))]
  return {
    whole: whole.map(({ partition: { number }, volume: { fileSystem, label }, reason }) => ({
      partition: survey.table.type === 'none' ? undefined : number,
      fileSystem,
      label,
      reason,
    })),
    ranges: () => unionRanges(streams),
  }
}

/** The error when not even the partitions can be told. */
async function surveyOf(disk: BlockDevice, signal: AbortSignal | undefined): Promise<DiskSurvey | FormatError> {
  try {
    return await surveyDisk(disk, { keep: new Set(KEPT), copyDamagedWhole: true, ...(signal && { signal }) })
  } catch (error) {
    if (error instanceof FormatError) return error
    throw error
  }
}

function whyWhole({ volume, usedSpace }: SurveyedVolume): string | undefined {
  const [hazard] = volume.hazards
  if (hazard !== undefined) return hazard.message
  const problem = [...volume.findings, ...usedSpace.findings].find(({ code }) => !HARMLESS.has(code))
  if (problem !== undefined) return wordsOf(problem)
  if (usedSpace.leftOut.length === 0) return undefined
  return 'it has shadow copies, which need what is free by now'
}

function wordsOf({ code, message }: Finding): string {
  return code === 'WHOLE_COPY' ? 'which of its sectors are in use cannot be told here' : message
}
