/** Changing what an image says of its parent, [MS-VHDX] 2.6.2.6: through the log, all of it or nothing. */
import type { ResizableDevice } from '../device/block-device.ts'
import { IS_REQUIRED, PARENT_LOCATOR } from './format.ts'
import { parentLocatorBytes } from './parent-locator.ts'
import { WriteSession } from './write-session.ts'

/**
 * Gives the differencing image in `file`, which stays the caller's, a locator with these keys and values. `isVisible`: the
 * disk may read differently with the parent they lead to, so that children of this image do not fit it any more.
 * Throws what `WriteSession.open` throws, UnsupportedError (METADATA_FULL) and OptionError (PARENT_PATH_TOO_LONG).
 */
export async function relink(
  file: ResizableDevice,
  entries: ReadonlyMap<string, string>,
  isVisible = false,
): Promise<void> {
  const locator = { itemId: PARENT_LOCATOR, flags: IS_REQUIRED, data: parentLocatorBytes(entries) }
  const session = await WriteSession.open(file)
  await session.begin(isVisible)
  await session.setItems([locator])
  await session.close()
}
