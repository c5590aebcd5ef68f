/** Everything that the records of a file say of it. spec-notes/ntfs.md, Details. */
import { KiB } from '../binary/size.ts'
import { hex, isDamage } from '../errors.ts'
import type { AttributeDetails, EntryDetails, NameDetails, RunDetails, TimeDetails } from '../volume/files.ts'
import { type Attribute, isCompressed, isEncrypted } from './attribute.ts'
import { AttributeReader } from './attribute-reader.ts'
import {
  extendedAttributes,
  objectIdentifiers,
  readWhole,
  recordIdentifiers,
  securityIdOf,
  standardIdentifiers,
} from './file-identifiers.ts'
import { decodeFileName } from './file-name.ts'
import { AttributeFlag, AttributeType, fileNameHeader, standardInformation } from './format.ts'
import type { NtfsEntry } from './ntfs-entry.ts'
import type { NtfsFile } from './ntfs-file.ts'
import { describeReparsePoint, readReparsePoint } from './reparse-point.ts'
import { HOLE, type RunList } from './run-list.ts'
import { formatSddl } from './sddl.ts'
import { decodeSecurityDescriptor } from './security-descriptor.ts'
import type { SecurityStore, StoredDescriptor } from './security-store.ts'

const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [AttributeType.standardInformation, '$STANDARD_INFORMATION'],
  [AttributeType.attributeList, '$ATTRIBUTE_LIST'],
  [AttributeType.fileName, '$FILE_NAME'],
  [AttributeType.objectId, '$OBJECT_ID'],
  [AttributeType.securityDescriptor, '$SECURITY_DESCRIPTOR'],
  [AttributeType.volumeName, '$VOLUME_NAME'],
  [AttributeType.volumeInformation, '$VOLUME_INFORMATION'],
  [AttributeType.data, '$DATA'],
  [AttributeType.indexRoot, '$INDEX_ROOT'],
  [AttributeType.indexAllocation, '$INDEX_ALLOCATION'],
  [AttributeType.bitmap, '$BITMAP'],
  [AttributeType.reparsePoint, '$REPARSE_POINT'],
  [AttributeType.eaInformation, '$EA_INFORMATION'],
  [AttributeType.ea, '$EA'],
  [AttributeType.propertySet, '$PROPERTY_SET'],
  [AttributeType.loggedUtilityStream, '$LOGGED_UTILITY_STREAM'],
])

/** Two access control lists of 64 KiB, and what goes with them. */
const MAX_SECURITY_DESCRIPTOR = 256 * KiB

const NAMESPACES = ['posix', 'win32', 'dos', 'win32+dos']

/** Told of a part that is damaged, and left out. */
type OnDamage = (part: string, error: Error) => void

/** Of a file whose record cannot be read. */
export const noDetailsOf = (entry: NtfsEntry): EntryDetails => ({
  entry,
  names: [],
  times: [],
  identifiers: {},
  attributes: [],
  reparse: undefined,
  sddl: undefined,
})

/** `security`: undefined where $Secure is damaged. */
export async function detailsOf(
  entry: NtfsEntry,
  file: NtfsFile,
  security: SecurityStore | undefined,
  onDamage: OnDamage,
): Promise<EntryDetails> {
  const attempt = async <T>(part: string, read: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await read()
    } catch (error) {
      if (!isDamage(error)) throw error
      onDamage(part, error)
      return undefined
    }
  }
  const names: NameDetails[] = []
  const times: TimeDetails[] = []
  await attempt('$STANDARD_INFORMATION', () => times.push(standardTimes(file)))
  for (const attribute of file.find(AttributeType.fileName)) {
    await attempt('$FILE_NAME', () => {
      const { name, namespace, parent } = nameOf(attribute)
      names.push({ name, namespace: NAMESPACES[namespace] ?? hex(namespace), parent: parent.record })
      times.push(nameTimes(name, attribute))
    })
  }
  const attributes: AttributeDetails[] = []
  const holders = new Map(file.records.flatMap(({ number, attributes }) => attributes.map(held => [held, number])))
  for (const group of groupsOf(file)) {
    const records = [...new Set(group.map(attribute => holders.get(attribute)!))]
    const details = await attempt(typeName(group[0].type), () => attributeDetails(file, group, records))
    if (details !== undefined) attributes.push(details)
  }
  return {
    entry,
    names,
    times,
    attributes,
    identifiers: {
      ...recordIdentifiers(file),
      ...(await attempt('$STANDARD_INFORMATION', () => standardIdentifiers(file))),
      ...(await attempt('$OBJECT_ID', () => objectIdentifiers(file))),
      ...(await attempt('$EA', () => extendedAttributes(file))),
    },
    reparse: await attempt('$REPARSE_POINT', async () => {
      const point = await readReparsePoint(file)
      return point && describeReparsePoint(point)
    }),
    sddl: await attempt('security descriptor', async () => {
      const found = await findDescriptor(file, security)
      return found && formatSddl(decodeSecurityDescriptor(found.bytes, found.position))
    }),
  }
}

const typeName = (type: number) => TYPE_NAMES.get(type) ?? hex(type)

/** The value of the attribute, which NTFS never puts outside of the record; empty where it is. */
const residentValue = (attribute: Attribute | undefined) => (attribute?.resident ? attribute.value : Buffer.alloc(0))

const nameOf = (attribute: Attribute) => decodeFileName(residentValue(attribute), attribute.position)

const orUndefined = (time: bigint) => time || undefined

function standardTimes(file: NtfsFile): TimeDetails {
  const [attribute] = file.find(AttributeType.standardInformation)
  const times = standardInformation.decode(residentValue(attribute), 0, attribute?.position ?? file.base.position)
  return timeDetails('$STANDARD_INFORMATION', times)
}

const nameTimes = (name: string, attribute: Attribute) =>
  timeDetails(`$FILE_NAME ${name}`, fileNameHeader.decode(residentValue(attribute), 0, attribute.position))

const timeDetails = (
  source: string,
  times: { created: bigint; modified: bigint; recordChanged: bigint; accessed: bigint },
): TimeDetails => ({
  source,
  created: orUndefined(times.created),
  modified: orUndefined(times.modified),
  changed: orUndefined(times.recordChanged),
  accessed: orUndefined(times.accessed),
})

/** Extents of one stream together, everything else by itself. */
function groupsOf({ attributes }: NtfsFile): [Attribute, ...Attribute[]][] {
  const groups: [Attribute, ...Attribute[]][] = []
  const streams = new Map<string, [Attribute, ...Attribute[]]>()
  for (const attribute of attributes) {
    const key = `${attribute.type} ${attribute.name}`
    const stream = attribute.resident ? undefined : streams.get(key)
    if (stream !== undefined) stream.push(attribute)
    else {
      const group: [Attribute] = [attribute]
      groups.push(group)
      if (!attribute.resident) streams.set(key, group)
    }
  }
  return groups
}

function attributeDetails(
  file: NtfsFile,
  group: [Attribute, ...Attribute[]],
  records: readonly number[],
): AttributeDetails {
  const { clusterSize } = file.mft.geometry
  const content = new AttributeReader(file.mft.volume, file.mft.geometry, group)
  const first = group.find(attribute => attribute.resident || attribute.lowestVcn === 0) ?? group[0]
  return {
    type: typeName(first.type),
    name: first.name,
    resident: first.resident,
    flags: [
      ...(isCompressed(first) ? ['compressed'] : []),
      ...(isEncrypted(first) ? ['encrypted'] : []),
      ...((first.flags & AttributeFlag.sparse) !== 0 ? ['sparse'] : []),
    ],
    size: content.size,
    initializedSize: content.initializedSize,
    allocatedSize: (content.runs?.clusterCount ?? 0) * clusterSize,
    records,
    runs: content.runs === undefined ? [] : runDetails(content.runs, clusterSize),
  }
}

function runDetails(runs: RunList, clusterSize: number): RunDetails[] {
  const details: RunDetails[] = []
  for (let vcn = 0; vcn < runs.end; ) {
    const { lcn, length } = runs.find(vcn)
    const content = { offset: vcn * clusterSize, length: length * clusterSize }
    details.push({ content, position: lcn === HOLE ? undefined : lcn * clusterSize })
    vcn += length
  }
  return details
}

/** By its number in $Secure or, in old files, from an attribute of its own. */
async function findDescriptor(
  file: NtfsFile,
  security: SecurityStore | undefined,
): Promise<StoredDescriptor | undefined> {
  const own = file.reader(AttributeType.securityDescriptor)
  if (own === undefined) return await security?.find(securityIdOf(file))
  const [{ position }] = file.find(AttributeType.securityDescriptor) as [Attribute]
  return { bytes: await readWhole(own, MAX_SECURITY_DESCRIPTOR, position), position: own.positionOf(0) ?? position }
}
