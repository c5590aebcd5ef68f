/** Reparse points as tests make them. */
import { run } from '../helpers/run.ts'

/** The value of a $REPARSE_POINT. */
export function reparseValue(tag: number, data: Buffer): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32LE(tag)
  header.writeUInt16LE(data.length, 4)
  return Buffer.concat([header, data])
}

/** Makes a file or an empty directory of a volume that ntfs-3g has mounted a reparse point. Needs setfattr. */
export const setReparsePoint = (path: string, tag: number, data: Buffer) =>
  run('setfattr', ['-h', '-n', 'system.ntfs_reparse_data', '-v', `0x${reparseValue(tag, data).toString('hex')}`, path])

/** Data of a mount point, or with `flags` of a symbolic link. */
export function linkData(substituteName: string, printName: string, flags?: number): Buffer {
  const names = [Buffer.from(substituteName, 'utf16le'), Buffer.from(printName, 'utf16le')] as const
  const head = Buffer.alloc(flags === undefined ? 8 : 12)
  head.writeUInt16LE(0, 0)
  head.writeUInt16LE(names[0].length, 2)
  head.writeUInt16LE(names[0].length, 4)
  head.writeUInt16LE(names[1].length, 6)
  if (flags !== undefined) head.writeUInt32LE(flags, 8)
  return Buffer.concat([head, ...names])
}
