/** Whether $LogFile holds changes that are not in the volume yet. spec-notes/ntfs.md, Log file. */
import { isPowerOfTwo, KiB } from '../binary/size.ts'
import type { Infer } from '../binary/struct.ts'
import type { AttributeReader } from './attribute-reader.ts'
import { applyFixup } from './fixup.ts'
import { restartArea, restartPageHeader } from './format.ts'

/** `RSTR` and, written by chkdsk, `CHKD`, little-endian. */
const RESTART_MAGIC = 0x52545352
const CHECKED_MAGIC = 0x444b4843
const DEFAULT_PAGE_SIZE = 4 * KiB
const NO_CLIENT = 0xffff
const CLEAN_FLAG = 2

type RestartPage = Infer<typeof restartPageHeader> & Infer<typeof restartArea>

/** Why the log is not clean, as the end of a sentence; undefined when it is. `log`: the content of $LogFile. */
export async function whyLogIsNotClean(log: AttributeReader): Promise<string | undefined> {
  const start = Buffer.alloc(Math.min(log.size, 2 * 64 * KiB))
  await log.read(0, start)
  if (start.equals(Buffer.alloc(start.length, 0xff))) return undefined

  // Two copies, written in turn: what counts is the one with the later LSN.
  const first = decodeRestartPage(start, 0)
  const second = decodeRestartPage(start, first?.systemPageSize ?? DEFAULT_PAGE_SIZE)
  const later = first !== undefined && !(second && second.currentLsn > first.currentLsn) ? first : second
  if (later === undefined) return 'neither of its restart pages can be read'
  const version = `${later.majorVersion}.${later.minorVersion}`
  if (later.majorVersion >= 2) return `it has version ${version}, as while Windows 8 or later has the volume mounted`
  if (later.clientInUseList === NO_CLIENT || (later.flags & CLEAN_FLAG) !== 0) return undefined
  return `it is in use (version ${version})`
}

/** The restart page at `at`, undefined when it is none or damaged. `pages` is changed by the fixup. */
function decodeRestartPage(pages: Buffer, at: number): RestartPage | undefined {
  if (pages.length - at < DEFAULT_PAGE_SIZE) return undefined
  const header = restartPageHeader.decode(pages, at)
  const { magic, systemPageSize, restartOffset } = header
  if (magic !== RESTART_MAGIC && magic !== CHECKED_MAGIC) return undefined
  if (!isPowerOfTwo(systemPageSize) || systemPageSize < 512 || at + systemPageSize > pages.length) return undefined
  if (restartOffset + restartArea.size > systemPageSize) return undefined
  if (applyFixup(pages, at, systemPageSize) !== undefined) return undefined
  return { ...header, ...restartArea.decode(pages, at + restartOffset) }
}
