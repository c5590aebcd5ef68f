/** A volume whose allocation nobody here can read: all that is not known to be zero counts as used. */
import type { BlockDevice } from '../device/block-device.ts'
import type { DiskImageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { Files } from '../volume/files.ts'
import type { UsedSpace, Volume } from '../volume/volume.ts'
import { filesNotRead } from './unread-volume.ts'

/** Every sector of `device` that may hold data. `findings` say why it is taken whole, `noFiles` why it has no files here. */
export class WholeVolume implements Volume {
  readonly fileSystem: string
  readonly label = undefined
  readonly clusterSize = undefined
  readonly hazards: readonly Finding[] = []
  readonly findings: readonly Finding[]
  readonly #device: BlockDevice
  readonly #noFiles: DiskImageError

  constructor(
    device: BlockDevice,
    fileSystem: string,
    findings: readonly Finding[],
    noFiles: DiskImageError = filesNotRead(fileSystem),
  ) {
    this.#device = device
    this.fileSystem = fileSystem
    this.findings = findings
    this.#noFiles = noFiles
  }

  async usedSpace(): Promise<UsedSpace> {
    const device = this.#device
    let usedBytes = 0
    for await (const range of device.dataRanges()) usedBytes += range.length
    return { usedBytes, leftOut: [], patches: [], findings: [], ranges: () => device.dataRanges() }
  }

  async openFiles(): Promise<Files> {
    throw this.#noFiles
  }
}
