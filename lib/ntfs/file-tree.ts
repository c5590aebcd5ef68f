/** Files by name: the root directory and what is below it. spec-notes/ntfs.md, Directory index. */
import { type DirectoryEntry, DirectoryIndex } from './directory-index.ts'
import { type FileReference, SystemRecord } from './format.ts'
import type { Mft } from './mft.ts'
import { NtfsFile } from './ntfs-file.ts'
import { UpcaseTable } from './upcase.ts'

export const ROOT: FileReference = { record: SystemRecord.root, sequence: 0 }

export class FileTree {
  readonly mft: Mft
  readonly upcase: UpcaseTable

  private constructor(mft: Mft, upcase: UpcaseTable) {
    this.mft = mft
    this.upcase = upcase
  }

  /** Throws FormatError when $UpCase is damaged. */
  static async open(mft: Mft): Promise<FileTree> {
    const table = await NtfsFile.open(mft, { record: SystemRecord.upcase, sequence: 0 })
    return new FileTree(mft, await UpcaseTable.read(table))
  }

  /** For a volume whose $UpCase is damaged: the table that all others have, but for letters younger than it. */
  static withoutUpcase(mft: Mft): FileTree {
    return new FileTree(mft, UpcaseTable.ofUnicode())
  }

  /** The index of a directory. Throws FormatError when `reference` is none. */
  async directory(reference: FileReference): Promise<DirectoryIndex> {
    const file = await NtfsFile.open(this.mft, reference)
    return new DirectoryIndex(file, this.upcase)
  }

  /** The entry of `name` in the directory `parent`, case ignored. Throws FormatError when the directory is damaged. */
  async find(parent: FileReference, name: string): Promise<DirectoryEntry | undefined> {
    return (await this.directory(parent)).find(name)
  }
}
