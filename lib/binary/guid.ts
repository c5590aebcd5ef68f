/** GUIDs: lower-case text in code, Microsoft's mixed-endian 16 bytes on disk. */

export const NIL_GUID = '00000000-0000-0000-0000-000000000000'

const GUID_TEXT = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Whether `text` is a GUID as this library writes one: lower-case, no braces. */
export const isGuid = (text: string) => GUID_TEXT.test(text)

/** The text of 16 stored bytes: the first three groups are little-endian, the last two are bytes in order. */
export const guidToText = (stored: Buffer) => uuidToText(swapGroups(stored))

/** The 16 bytes to store. Throws RangeError when `text` is no GUID, so that a bad one is never written. */
export const guidFromText = (text: string) => swapGroups(uuidFromText(text))

/** The text of 16 bytes that are all in order. */
export const uuidToText = (stored: Buffer) =>
  stored.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

/** The 16 bytes in order. Throws RangeError when `text` is no GUID. */
export function uuidFromText(text: string): Buffer {
  if (!isGuid(text)) throw new RangeError(`'${text}' is not a lower-case GUID`)
  return Buffer.from(text.replaceAll('-', ''), 'hex')
}

/** A copy with the first three groups turned around. */
function swapGroups(guid: Buffer): Buffer {
  const swapped = Buffer.from(guid)
  swapped.subarray(0, 4).reverse()
  swapped.subarray(4, 6).reverse()
  swapped.subarray(6, 8).reverse()
  return swapped
}
