/** Who holds a lock on a file, for people, as far as Linux tells. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { identityOfStats } from './file-identity.ts'

/** A command line of QEMU fills a screen. */
const LONGEST_COMMAND = 100

/**
 * The process that has a lock on what `file` is open on, other than through `file` itself, with its command. Every open
 * file of every process is asked, since the list of all locks (/proc/locks) gives no process for those that QEMU and we
 * use. Undefined when none of those that this user may see has one.
 */
export async function lockHolder(file: {
  readonly fd: number
  readonly identity: string
}): Promise<string | undefined> {
  const own = `/proc/${process.pid}/fd/${file.fd}`
  for (const id of await namesIn('/proc')) {
    if (!/^\d+$/.test(id)) continue
    for (const fd of await namesIn(`/proc/${id}/fd`)) {
      const path = `/proc/${id}/fd/${fd}`
      if (path !== own && (await hasLock(path, file.identity))) return `process ${id} (${await commandOf(id)})`
    }
  }
  return undefined
}

async function hasLock(path: string, identity: string): Promise<boolean> {
  try {
    const info = await readFile(path.replace('/fd/', '/fdinfo/'), 'latin1')
    // lock:  1: OFDLCK  ADVISORY  READ -1 fe:00:2146385 100 101
    if (!info.includes('\nlock:')) return false
    return identityOfStats(await stat(path, { bigint: true })) === identity
  } catch {
    return false
  }
}

async function commandOf(id: string): Promise<string> {
  const command = (await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ').trim()
  return command.length > LONGEST_COMMAND ? `${command.slice(0, LONGEST_COMMAND)}…` : command
}

/** None of a process that has ended, or belongs to another user. */
const namesIn = (folder: string) => readdir(folder).catch(() => [])
