/** What Linux knows of a block device, from sysfs (Documentation/ABI/stable/sysfs-block). */
import { access, readFile } from 'node:fs/promises'
import { withStorageErrors } from './storage-error.ts'

export interface Geometry {
  /** Bytes. */
  readonly size: number
  readonly sectorSize: number
  readonly physicalSectorSize: number
}

/** The device number of a `stat` with bigints as Linux writes it, `major:minor`: glibc's encoding of dev_t. */
export function deviceNumber(device: bigint): string {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n)
  return `${major}:${minor}`
}

/** Whether the block device `number` is still there. One that was unplugged answers reads like one with bad sectors. */
export const blockDeviceExists = (number: string) =>
  access(folderOf(number)).then(
    () => true,
    () => false,
  )

const folderOf = (number: string) => `/sys/dev/block/${number}`

/**
 * Size, sector sizes and write protection of the block device `number`, `major:minor`; `path` is what the user calls it. `stat` of a block
 * device says size 0. Throws NotFoundError where sysfs is not mounted or the device went away.
 */
export async function linuxGeometry(number: string, path: string): Promise<Geometry & { readOnly: boolean }> {
  const read = (file: string) =>
    withStorageErrors({ verb: 'examine', path }, async () =>
      Number(await readFile(`${folderOf(number)}/${file}`, 'latin1')),
    )
  // A partition has no queue of its own: it lies in the folder of its disk.
  const isPartition = await read('partition').then(
    () => true,
    () => false,
  )
  const queue = isPartition ? '../queue' : 'queue'
  return {
    // Always in units of 512 bytes, whatever the sectors are.
    size: (await read('size')) * 512,
    sectorSize: await read(`${queue}/logical_block_size`),
    physicalSectorSize: await read(`${queue}/physical_block_size`),
    readOnly: (await read('ro')) === 1,
  }
}
