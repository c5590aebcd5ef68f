/** File records as they lie in memory, for who passes millions of them. spec-notes/ntfs.md, Attribute header. */

/** Whole records, and the same bytes as numbers are read from them fastest. */
export interface RecordBytes {
  readonly bytes: Buffer
  readonly view: DataView
}

export const recordBytes = (bytes: Buffer): RecordBytes => ({
  bytes,
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
})

/** Whether what the attribute of `length` bytes leads to lies in it, and its clusters are in order. */
export function isFramed(view: DataView, attribute: number, length: number, isResident: boolean): boolean {
  if (view.getUint16(attribute + 0xa, true) + 2 * view.getUint8(attribute + 9) > length) return false
  if (isResident) return view.getUint16(attribute + 0x14, true) + view.getUint32(attribute + 0x10, true) <= length
  const [lowestVcn, highestVcn] = [signed64(view, attribute + 0x10), signed64(view, attribute + 0x18)]
  const runList = view.getUint16(attribute + 0x20, true)
  const inOrder = lowestVcn >= 0 && highestVcn >= lowestVcn - 1 && Number.isSafeInteger(highestVcn + 1)
  if (!inOrder || runList < 64 || runList > length) return false
  // The first extent has the allocated, the data and the initialized size.
  const at = attribute + 0x28
  return lowestVcn > 0 || (isSize(view, at) && isSize(view, at + 8) && isSize(view, at + 16))
}

/** Below 2^53. */
const isSize = (view: DataView, at: number) => view.getUint32(at + 4, true) < 2 ** 21

/** The name of the attribute, which lies in it. */
export function attributeName({ bytes, view }: RecordBytes, attribute: number): string {
  const length = view.getUint8(attribute + 9)
  if (length === 0) return ''
  const start = attribute + view.getUint16(attribute + 0xa, true)
  return bytes.toString('utf16le', start, start + 2 * length)
}

/** Rounded above 2^53, and then of no use as a size or a VCN. */
export const signed64 = (view: DataView, at: number) => view.getInt32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
