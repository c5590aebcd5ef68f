/** What the file $Volume says: name, version and whether a check is due. spec-notes/ntfs.md, Volume information. */
import type { Attribute } from './attribute.ts'
import { AttributeType, VolumeFlag, volumeInformation } from './format.ts'
import type { NtfsFile } from './ntfs-file.ts'

export interface VolumeInformation {
  readonly label: string | undefined
  /** Such as '3.1', which is every Windows since XP; undefined when it is not told. */
  readonly version: string | undefined
  /** Whether Windows wants to check the volume before it uses it. */
  readonly dirty: boolean
}

/** Throws FormatError (TRUNCATED). */
export function readVolumeInformation(file: NtfsFile): VolumeInformation {
  const value = ([attribute]: Attribute[]) => (attribute?.resident ? attribute.value : undefined)
  const name = value(file.find(AttributeType.volumeName))
  const information = value(file.find(AttributeType.volumeInformation))
  const label = name?.toString('utf16le') || undefined
  if (information === undefined) return { label, version: undefined, dirty: false }
  const { majorVersion, minorVersion, flags } = volumeInformation.decode(information)
  return { label, version: `${majorVersion}.${minorVersion}`, dirty: (flags & VolumeFlag.dirty) !== 0 }
}
