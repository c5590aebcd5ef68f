/** Paths by the volume they are on, which stay the same when Windows gives the volume another letter. */
import { execFile } from 'node:child_process'
import { parse } from 'node:path'
import { promisify } from 'node:util'

/**
 * `\\?\Volume{guid}\…` for the path of a file on a drive of Windows; undefined where the system does not say, as for
 * network shares. mountvol is what Windows has for asking without native calls.
 */
export async function volumePath(path: string): Promise<string | undefined> {
  const { root } = parse(path)
  if (!/^[a-z]:\\$/i.test(root)) return undefined
  const mountvol = `${process.env.SystemRoot ?? 'C:\\Windows'}\\System32\\mountvol.exe`
  const answer = await promisify(execFile)(mountvol, [root, '/L']).catch(() => undefined)
  const volume = /\\\\\?\\Volume\{[0-9a-f-]{36}\}\\/i.exec(answer?.stdout ?? '')?.[0]
  return volume && volume + path.slice(root.length)
}
