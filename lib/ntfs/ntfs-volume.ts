/** An NTFS volume. spec-notes/ntfs.md. */

import type { BlockDevice } from '../device/block-device.ts'
import { isDamage } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { FilesOptions } from '../volume/files.ts'
import type { UsedSpace, UsedSpaceOptions, Volume } from '../volume/volume.ts'
import type { Geometry } from './boot-sector.ts'
import { FileTree } from './file-tree.ts'
import { AttributeType, SystemRecord } from './format.ts'
import { isHibernated } from './hibernation.ts'
import { whyLogIsNotClean } from './log-file.ts'
import type { Mft } from './mft.ts'
import { NtfsFile } from './ntfs-file.ts'
import { NtfsFiles } from './ntfs-files.ts'
import { openMft } from './open-mft.ts'
import { surveyUsedSpace } from './used-space.ts'
import { readVolumeInformation, type VolumeInformation } from './volume-information.ts'

/** Open one with `NtfsVolume.open`. */
export class NtfsVolume implements Volume {
  readonly fileSystem = 'NTFS'
  readonly geometry: Geometry
  readonly label: string | undefined
  /** Such as '3.1', which is every Windows since XP. */
  readonly version: string | undefined
  readonly hazards: readonly Finding[]
  readonly findings: readonly Finding[]
  readonly #mft: Mft
  readonly #tree: FileTree | undefined

  private constructor(mft: Mft, tree: FileTree | undefined, learned: Learned) {
    this.geometry = mft.geometry
    this.label = learned.information?.label
    this.version = learned.information?.version
    this.hazards = learned.hazards
    this.findings = learned.findings
    this.#mft = mft
    this.#tree = tree
  }

  /**
   * Opens the volume that fills `device`, which stays the caller's. A bad boot sector is made up for by its backup in
   * the last sector, bad first records of $MFT by $MFTMirr; both are in `findings` then.
   * Throws FormatError when it is no NTFS volume, or too damaged to be read.
   */
  static async open(device: BlockDevice): Promise<NtfsVolume> {
    const learned: Learned = { information: undefined, hazards: [], findings: [] }
    const mft = await openMft(device, learned.findings)
    const tree = await attempt(learned, '$UpCase', () => FileTree.open(mft))
    learned.information = await attempt(learned, '$Volume', async () =>
      readVolumeInformation(await NtfsFile.open(mft, { record: SystemRecord.volume, sequence: 0 })),
    )
    if (learned.information?.dirty) {
      const message = 'the volume is marked dirty: Windows wants to check it (chkdsk) before it is used'
      learned.hazards.push({ code: 'NTFS_DIRTY', message })
    }
    const reason = await attempt(learned, '$LogFile', () => logProblem(mft))
    if (reason !== undefined) {
      const message = `the log of changes ($LogFile) is not clean: ${reason}. Changes may be missing in the volume`
      learned.hazards.push({ code: 'NTFS_LOG_NOT_CLEAN', message })
    }
    if (tree !== undefined && (await attempt(learned, '\\hiberfil.sys', () => isHibernated(device, tree)))) {
      const message =
        'Windows hibernates in this volume (or was shut down for a fast start): changes are in hiberfil.sys only'
      learned.hazards.push({ code: 'NTFS_HIBERNATED', message })
    }
    return new NtfsVolume(mft, tree, learned)
  }

  /** With the backup of the boot sector, which lies behind the last sector that is counted. */
  get size(): number {
    return (this.geometry.totalSectors + 1) * this.geometry.sectorSize
  }

  get sectorSize(): number {
    return this.geometry.sectorSize
  }

  get clusterSize(): number {
    return this.geometry.clusterSize
  }

  /** Throws the signal's reason when it is aborted. */
  async usedSpace(options: UsedSpaceOptions = {}): Promise<UsedSpace> {
    return await surveyUsedSpace(this.#mft, this.#tree, options)
  }

  async openFiles(options: FilesOptions = {}): Promise<NtfsFiles> {
    return await NtfsFiles.open(this.#tree ?? FileTree.withoutUpcase(this.#mft), options)
  }
}

/** What opening a volume finds out. */
interface Learned {
  information: VolumeInformation | undefined
  readonly hazards: Finding[]
  readonly findings: Finding[]
}

/** What `read` gives; undefined, and a finding, when `what` is damaged: the volume can be copied without it. */
async function attempt<T>({ findings }: Learned, what: string, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (!isDamage(error)) throw error
    findings.push({ code: 'NTFS_DAMAGED_FILE', message: `${what} cannot be read: ${error.message}`, details: { what } })
    return undefined
  }
}

async function logProblem(mft: Mft): Promise<string | undefined> {
  const file = await NtfsFile.open(mft, { record: SystemRecord.logFile, sequence: 0 })
  const log = file.reader(AttributeType.data)
  return log === undefined ? 'it has no content' : await whyLogIsNotClean(log)
}
