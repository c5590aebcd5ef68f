/** What has to be written to change a partition table, in an order that can be interrupted anywhere. */
import type { BlockDevice } from '../device/block-device.ts'

/** `bytes` for byte `offset` of the disk. */
export interface TableWrite {
  readonly offset: number
  readonly bytes: Buffer
}

/** Writes that may reach the medium in any order, or torn. The next step begins when all of them are on it. */
export type TableStep = readonly TableWrite[]

/** Writes `steps` to `disk`, each one flushed before the next begins. */
export async function writeTable(disk: BlockDevice, steps: readonly TableStep[]): Promise<void> {
  for (const step of steps) {
    for (const { offset, bytes } of step) await disk.write(offset, bytes)
    await disk.flush()
  }
}
