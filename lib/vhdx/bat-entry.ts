/**
 * BAT entries in a buffer, [MS-VHDX] 2.5.1. A BAT can hold 67 million of them, so each is two 32-bit reads and plain
 * numbers: state in bits 0-2, reserved bits 3-19, the place in the file in MiB in bits 20-63.
 */
import { MiB } from '../binary/size.ts'
import { FULLY_PRESENT } from './format.ts'

export const stateAt = (page: Buffer, at: number) => page.readUInt32LE(at) & 7

export const reservedBitsAt = (page: Buffer, at: number) => (page.readUInt32LE(at) >>> 3) & 0x1ffff

/** Where in the file the block lies, in MiB: up to 2^44, so its bytes may be no exact number before it is checked. */
export const mebibyteAt = (page: Buffer, at: number) =>
  page.readUInt32LE(at + 4) * 4096 + (page.readUInt32LE(at) >>> 20)

/** Writes the entry of a block that lies whole at byte `fileOffset`, a MiB multiple. */
export function writePresentEntry(page: Buffer, at: number, fileOffset: number): void {
  const mebibyte = fileOffset / MiB
  page.writeUInt32LE((mebibyte % 4096) * 2 ** 20 + FULLY_PRESENT, at)
  page.writeUInt32LE(Math.floor(mebibyte / 4096), at + 4)
}
