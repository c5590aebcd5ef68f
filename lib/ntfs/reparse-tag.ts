/** The tags that say what a reparse point is, [MS-FSCC] 2.1.2.1. spec-notes/ntfs.md, Reparse points. */

/** Those that something here depends on. */
export const ReparseTag = {
  mountPoint: 0xa0000003,
  hsm: 0xc0000004,
  hsm2: 0x80000006,
  singleInstance: 0x80000007,
  wim: 0x80000008,
  symbolicLink: 0xa000000c,
  dedup: 0x80000013,
  nfs: 0x80000014,
  wof: 0x80000017,
  /** The first of sixteen, see `isCloudTag`. */
  cloud: 0x9000001a,
  appExecLink: 0x8000001b,
  projFs: 0x9000001c,
  lxSymbolicLink: 0xa000001d,
  storageSync: 0x8000001e,
  oneDrive: 0x80000021,
  unixSocket: 0x80000023,
  lxFifo: 0x80000024,
  lxCharacterDevice: 0x80000025,
  lxBlockDevice: 0x80000026,
} as const

const NAMES: Readonly<Record<number, string>> = {
  2684354563: 'MOUNT_POINT',
  3221225476: 'HSM',
  2147483653: 'DRIVE_EXTENDER',
  2147483654: 'HSM2',
  2147483655: 'SIS',
  2147483656: 'WIM',
  2147483657: 'CSV',
  2147483658: 'DFS',
  2147483659: 'FILTER_MANAGER',
  2684354572: 'SYMLINK',
  2684354576: 'IIS_CACHE',
  2147483666: 'DFSR',
  2147483667: 'DEDUP',
  3221225492: 'APPXSTRM',
  2147483668: 'NFS',
  2147483669: 'FILE_PLACEHOLDER',
  2147483670: 'DFM',
  2147483671: 'WOF',
  2147483672: 'WCI',
  2415923224: 'WCI_1',
  2684354585: 'GLOBAL_REPARSE',
  2147483675: 'APPEXECLINK',
  2415919132: 'PROJFS',
  2684354589: 'LX_SYMLINK',
  2147483678: 'STORAGE_SYNC',
  2684354591: 'WCI_TOMBSTONE',
  2147483680: 'UNHANDLED',
  2147483681: 'ONEDRIVE',
  2684354594: 'PROJFS_TOMBSTONE',
  2147483683: 'AF_UNIX',
  2147483684: 'LX_FIFO',
  2147483685: 'LX_CHR',
  2147483686: 'LX_BLK',
  2415919143: 'STORAGE_SYNC_FOLDER',
  2684354599: 'WCI_LINK',
  2684358695: 'WCI_LINK_1',
}

/** Such as IO_REPARSE_TAG_SYMLINK; undefined where the tag has no name here. */
export function tagName(tag: number): string | undefined {
  // The sixteen cloud tags differ in one digit, which their names end with.
  const digit = ((tag >>> 12) & 0xf).toString(16).toUpperCase()
  const name = isCloudTag(tag) ? (digit === '0' ? 'CLOUD' : `CLOUD_${digit}`) : NAMES[tag]
  return name === undefined ? undefined : `IO_REPARSE_TAG_${name}`
}

/** OneDrive and what else uses the Cloud Files filter: one of sixteen tags, by the version and kind of its data. */
export const isCloudTag = (tag: number) => (tag & 0xffff0fff) >>> 0 === ReparseTag.cloud

/** Whether Microsoft owns the tag. Others have a GUID before their data. */
export const isMicrosoftTag = (tag: number) => tag >>> 31 === 1

/** Whether it stands for something that is somewhere else, as links do. */
export const isNameSurrogate = (tag: number) => (tag & 0x2000_0000) !== 0
