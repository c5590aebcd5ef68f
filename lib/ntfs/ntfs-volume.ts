/** An NTFS volume. spec-notes/ntfs.md. */
import type { BlockDevice } from '../device/block-device.ts'
import { type DiskImageError, FormatError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { UsedSpace, UsedSpaceOptions, Volume } from '../volume/volume.ts'
import { type Geometry, loadBootSector } from './boot-sector.ts'
import { AttributeType, SystemRecord } from './format.ts'
import { Mft } from './mft.ts'
import { NtfsFile } from './ntfs-file.ts'
import { surveyUsedSpace } from './used-space.ts'

/** Open one with `NtfsVolume.open`. */
export class NtfsVolume implements Volume {
  readonly fileSystem = 'NTFS'
  readonly geometry: Geometry
  readonly label: string | undefined
  readonly hazards: readonly Finding[] = []
  readonly findings: readonly Finding[]
  readonly #mft: Mft

  private constructor(mft: Mft, label: string | undefined, findings: readonly Finding[]) {
    this.geometry = mft.geometry
    this.label = label
    this.findings = findings
    this.#mft = mft
  }

  /** Opens the volume that fills `device`. Throws FormatError when it is none or too damaged to read. */
  static async open(device: BlockDevice): Promise<NtfsVolume> {
    const findings: Finding[] = []
    const mft = await Mft.open(device, await loadBootSector(device, 0), findings)
    const volumeFile = await NtfsFile.open(mft, { record: SystemRecord.volume, sequence: 0 })
    const [name] = volumeFile.find(AttributeType.volumeName)
    const label = name?.resident && name.value.length > 0 ? name.value.toString('utf16le') : undefined
    return new NtfsVolume(mft, label, findings)
  }

  get clusterSize(): number {
    return this.geometry.clusterSize
  }

  async usedSpace(options: UsedSpaceOptions = {}): Promise<UsedSpace> {
    const file = await NtfsFile.open(this.#mft, { record: SystemRecord.bitmap, sequence: 0 })
    const bitmap = file.reader(AttributeType.data)
    if (bitmap === undefined) throw new FormatError('NTFS_NO_BITMAP', '$Bitmap has no $DATA')
    return await surveyUsedSpace(this.#mft, bitmap, options)
  }
}
