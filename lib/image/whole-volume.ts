/** A volume whose allocation nobody here can read: all that is not known to be zero counts as used. */
import type { BlockDevice } from '../device/block-device.ts'
import { UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { Files } from '../volume/files.ts'
import type { UsedSpace, Volume } from '../volume/volume.ts'

/** Every sector of `device` that may hold data. `findings` say why it is taken whole. */
export class WholeVolume implements Volume {
  readonly fileSystem: string
  readonly label = undefined
  readonly clusterSize = undefined
  readonly hazards: readonly Finding[] = []
  readonly findings: readonly Finding[]
  readonly #device: BlockDevice

  constructor(device: BlockDevice, fileSystem: string, findings: readonly Finding[]) {
    this.#device = device
    this.fileSystem = fileSystem
    this.findings = findings
  }

  async usedSpace(): Promise<UsedSpace> {
    const device = this.#device
    let usedBytes = 0
    for await (const range of device.dataRanges()) usedBytes += range.length
    return { usedBytes, leftOut: [], patches: [], findings: [], ranges: () => device.dataRanges() }
  }

  async openFiles(): Promise<Files> {
    const { fileSystem } = this
    throw new UnsupportedError('FILES_NOT_READ', `the files of this volume cannot be read here: it is ${fileSystem}`, {
      fileSystem,
    })
  }
}
