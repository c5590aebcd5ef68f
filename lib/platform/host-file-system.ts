/** What the file system that an image is written to does to it. */
import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { withStorageErrors } from '../device/storage-error.ts'
import type { Finding } from '../finding.ts'

interface Kind {
  readonly name: string
  readonly findings: readonly Finding[]
}

const holes = (name: string): Kind => ({
  name,
  findings: [
    {
      code: 'HOST_MAY_MAKE_HOLES',
      message: `${name} may keep zeros as holes or compress them. The image is good there; copied to Windows it has to be dense, as ordinary copies are`,
      details: { fileSystem: name },
    },
  ],
})

const memory = (name: string): Kind => ({
  name,
  findings: [
    {
      code: 'HOST_IN_MEMORY',
      message: `${name} keeps its files in memory: the image takes memory, and is gone after a restart`,
      details: { fileSystem: name },
    },
  ],
})

const plain = (name: string): Kind => ({ name, findings: [] })

/** By the magic numbers of statfs(2). */
const KINDS: ReadonlyMap<number, Kind> = new Map([
  [0xef53, plain('ext4')],
  [0x58465342, plain('XFS')],
  [0xf2f52010, plain('F2FS')],
  [0x2011bab0, plain('exFAT')],
  [0x7366746e, plain('NTFS')],
  [0x65735546, plain('FUSE')],
  [0x6969, plain('NFS')],
  [0xff534d42, plain('CIFS')],
  [0xfe534d42, plain('SMB')],
  [0x794c7630, plain('overlayfs')],
  [0x9123683e, holes('btrfs')],
  [0x2fc12fc1, holes('ZFS')],
  [0xca451a4e, holes('bcachefs')],
  [0x01021994, memory('tmpfs')],
  [0x858458f6, memory('ramfs')],
  [
    0x4d44,
    {
      name: 'FAT',
      findings: [
        {
          code: 'HOST_FILE_LIMIT',
          message: 'FAT holds no file of 4 GiB or more: an image that grows larger fails. Use NTFS, exFAT or ext4',
          details: { fileSystem: 'FAT', limit: 2 ** 32 - 1 },
        },
      ],
    },
  ],
])

/**
 * The file system that the file `path` lies on or will lie on, and what a user should know of it before writing an
 * image there. The name is undefined for those not known here, and on Windows. Throws NotFoundError, StorageError.
 */
export async function hostFileSystem(
  path: string,
): Promise<{ name: string | undefined; findings: readonly Finding[] }> {
  const folder = dirname(path)
  const { type } = await withStorageErrors({ verb: 'examine', path: folder }, () => statfs(folder))
  return KINDS.get(type) ?? { name: undefined, findings: [] }
}
