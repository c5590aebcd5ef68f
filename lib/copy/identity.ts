/** The ids by which systems know a disk and its partitions: shown, and changed so that a copy can be beside its original. */
import { isGuid, NIL_GUID } from '../binary/guid.ts'
import { OptionError, RefusedError, UnsupportedError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { type OpenedDisk, openDisk } from '../image/open-disk.ts'
import type { ImageFormat } from '../image/open-image.ts'
import type { ParentOptions } from '../image/parent-search.ts'
import type { PartitionTable } from '../partition/partition.ts'
import { readPartitionTable } from '../partition/partition-table.ts'
import { planTableIds } from '../partition/table-identity.ts'
import { type TableStep, writeTable } from '../partition/table-writes.ts'
import { partitionRole } from '../partition/types.ts'
import { VhdDevice } from '../vhd/vhd-device.ts'
import { setVirtualDiskId } from '../vhdx/disk-id.ts'
import { VhdxDevice } from '../vhdx/vhdx-device.ts'
import { openVhdx, refuseChildrenOf, writeDisk } from './open-vhdx.ts'

/** A partition, and what knows it. */
export interface PartitionIdentity {
  readonly number: number
  readonly type: string
  readonly name: string | null
  /** GPT partition GUID; on MBR the disk signature and the number, which nobody can change by itself. */
  readonly id: string | null
}

/** The ids of a disk; null for those that it cannot have. */
export interface DiskIdentity {
  readonly path: string
  readonly format: ImageFormat
  /** What the disk answers to SCSI's question for page 83: VHDX only. */
  readonly virtualDiskId: string | null
  /** VHD only. */
  readonly uniqueId: string | null
  /** What children of a VHDX know it by. */
  readonly dataWriteGuid: string | null
  readonly partitionTable: PartitionTable['type']
  /** GPT only. */
  readonly diskGuid: string | null
  /** MBR only: 8 hex digits. */
  readonly signature: string | null
  readonly partitions: readonly PartitionIdentity[]
  /** How a machine would start from it, as far as the table tells. */
  readonly boots: 'uefi' | 'bios' | null
  readonly findings: readonly Finding[]
}

/** An id, or that a random one is wanted. */
type Wanted = string | 'new'

/** The ids that are to be others; those not told stay. */
export interface IdentityChange {
  /** A lower-case GUID. */
  readonly virtualDiskId?: Wanted
  /** A lower-case GUID. */
  readonly diskGuid?: Wanted
  /** 8 hex digits, in lower case. */
  readonly signature?: Wanted
  /** New GUIDs for all partitions of a GPT. */
  readonly partitionGuids?: 'new'
}

/** How `changeIdentity` works. */
export interface IdentityOptions extends Pick<ParentOptions, 'search'> {
  /** Finds out what would be done, and changes nothing. */
  readonly dryRun?: boolean
  /** Although the image has children, which do not fit it any more then. */
  readonly force?: boolean
}

/** An id that was changed, or with `dryRun` would be. */
export interface ChangedId {
  readonly what: 'virtualDiskId' | 'diskGuid' | 'signature' | 'partition'
  /** The partition's. */
  readonly number?: number
  readonly before: string | null
  /** Null for one that a dry run does not know. */
  readonly after: string | null
}

/** What was done. */
export interface IdentityReport {
  readonly path: string
  readonly changed: readonly ChangedId[]
  /** What follows from it for the systems on the disk. */
  readonly consequences: readonly Finding[]
  readonly dryRun: boolean
  readonly findings: readonly Finding[]
}

/** Reads the ids of the image or the disk at `path`. Throws what `openDisk` and `readPartitionTable` throw. */
export async function readIdentity(path: string, options: ParentOptions = {}): Promise<DiskIdentity> {
  await using opened = await openDisk(path, options)
  return identityOf(path, opened, await readPartitionTable(opened.disk, { truncated: 'cut' }))
}

function identityOf(path: string, { disk, format, findings }: OpenedDisk, table: PartitionTable): DiskIdentity {
  const { type, diskId = null } = table
  return {
    path,
    format,
    virtualDiskId: disk instanceof VhdxDevice ? disk.metadata.virtualDiskId : null,
    uniqueId: disk instanceof VhdDevice ? disk.uniqueId : null,
    dataWriteGuid: disk instanceof VhdxDevice ? disk.header.dataWriteGuid : null,
    partitionTable: type,
    diskGuid: type === 'gpt' ? diskId : null,
    signature: type === 'mbr' ? diskId : null,
    partitions: table.partitions.map(({ number, typeName, name = null, id = null }) => ({
      number,
      type: typeName,
      name,
      id,
    })),
    boots: bootsBy(table),
    findings: [...findings, ...table.findings],
  }
}

function bootsBy({ type, partitions }: PartitionTable): DiskIdentity['boots'] {
  if (partitions.some(({ typeId }) => partitionRole(typeId) === 'efi-system')) return 'uefi'
  return type === 'mbr' && partitions.some(({ active }) => active) ? 'bios' : null
}

/** New ids for all that the disk has. */
export const wholeChange = ({ format, partitionTable }: DiskIdentity): IdentityChange => ({
  ...(format === 'vhdx' ? { virtualDiskId: 'new' } : {}),
  ...(partitionTable === 'gpt' ? { diskGuid: 'new', partitionGuids: 'new' } : {}),
  ...(partitionTable === 'mbr' ? { signature: 'new' } : {}),
})

/**
 * Gives the disk in the VHDX or the raw file at `path` other ids: those of `change`, or all that it has where that is
 * 'all'. What the disk holds otherwise stays: a boot configuration that names the old ids, too, which `consequences` tells.
 *
 * The table is whole at every moment. Throws what `openDisk` throws; OptionError (BAD_ID, NOT_ON_THIS_DISK) for ids that
 * cannot be, RefusedError (HAS_CHILDREN, LIVE_DISK, GPT_NO_ROOM), UnsupportedError (VHD_READ_ONLY).
 */
export async function changeIdentity(
  path: string,
  change: IdentityChange | 'all',
  options: IdentityOptions = {},
): Promise<IdentityReport> {
  const { dryRun = false, search = [] } = options
  const before = await readIdentity(path, { search })
  const wanted = change === 'all' ? wholeChange(before) : change
  checkChange(before, wanted)
  const ids = idsOf(before, wanted)
  const findings = before.format === 'vhdx' ? await changeVhdx(path, ids, options) : await changeRaw(path, ids, options)
  return {
    path,
    changed: changesOf(before, ids, dryRun ? wanted : {}),
    consequences: consequencesOf(before, ids),
    dryRun,
    findings,
  }
}

/** What is written. */
interface NewIds {
  readonly virtualDiskId: string | undefined
  readonly diskGuid: string | undefined
  readonly signature: string | undefined
  readonly partitionGuids: ReadonlyMap<number, string>
}

function idsOf({ partitions }: DiskIdentity, wanted: IdentityChange): NewIds {
  const idOf = (id: Wanted | undefined, random: () => string) => (id === 'new' ? random() : id)
  return {
    virtualDiskId: idOf(wanted.virtualDiskId, () => crypto.randomUUID()),
    diskGuid: idOf(wanted.diskGuid, () => crypto.randomUUID()),
    signature: idOf(wanted.signature, randomSignature),
    partitionGuids: new Map(
      wanted.partitionGuids === undefined ? [] : partitions.map(({ number }) => [number, crypto.randomUUID()]),
    ),
  }
}

/** Never 0, which Windows takes for a disk that was never used. */
function randomSignature(): string {
  const [value] = crypto.getRandomValues(new Uint32Array(1))
  return Math.max(1, value!).toString(16).padStart(8, '0')
}

function checkChange({ path, format, partitionTable }: DiskIdentity, wanted: IdentityChange): void {
  const { virtualDiskId, diskGuid, signature, partitionGuids } = wanted
  if (format === 'vhd') {
    throw new UnsupportedError('VHD_READ_ONLY', `${path} is a VHD, which is only read here. Convert it to a VHDX first`)
  }
  for (const guid of [virtualDiskId, diskGuid]) {
    if (guid !== undefined && guid !== 'new' && (!isGuid(guid) || guid === NIL_GUID)) {
      throw new OptionError('BAD_ID', `'${guid}' is not a GUID such as ${crypto.randomUUID()}`, { id: guid })
    }
  }
  if (signature !== undefined && signature !== 'new' && !/^(?!0{8})[0-9a-f]{8}$/.test(signature)) {
    const message = `'${signature}' is no disk signature: 8 hex digits, not all of them 0, such as ${randomSignature()}`
    throw new OptionError('BAD_ID', message, { id: signature })
  }
  const demand = (isThere: boolean, what: string) => {
    if (!isThere) throw new OptionError('NOT_ON_THIS_DISK', `the disk in ${path} has no ${what}`, { path, what })
  }
  demand(Object.keys(wanted).length > 0, 'ids: no partition table, and raw disks keep none beside it')
  if (virtualDiskId !== undefined) demand(format === 'vhdx', 'disk id (SCSI page 83): only a VHDX keeps one')
  if (diskGuid !== undefined) demand(partitionTable === 'gpt', 'disk GUID: it has no GPT')
  if (partitionGuids !== undefined) demand(partitionTable === 'gpt', 'partition GUIDs: it has no GPT')
  if (signature !== undefined) demand(partitionTable === 'mbr', 'disk signature that counts: it has no MBR')
}

async function changeVhdx(path: string, ids: NewIds, options: IdentityOptions): Promise<readonly Finding[]> {
  const { dryRun = false, force = false, search = [] } = options
  await using image = await openVhdx(path, !dryRun, { search })
  const children = force ? [] : await refuseChildrenOf(image)
  const steps = await stepsFor(image.disk, ids)
  if (!dryRun && steps.length > 0) await writeDisk(image, disk => writeTable(disk, steps))
  if (!dryRun && ids.virtualDiskId !== undefined) await setVirtualDiskId(image.file, ids.virtualDiskId)
  return [...image.findings, ...children]
}

async function changeRaw(path: string, ids: NewIds, { dryRun = false }: IdentityOptions): Promise<readonly Finding[]> {
  await using opened = await openDisk(path, { writable: !dryRun })
  const { disk, file } = opened
  if (file.raw) {
    const message = `${path} is a disk of this system, which knows it by its ids: change them with the tools of the system, such as sgdisk or diskpart`
    throw new RefusedError('LIVE_DISK', message, { path })
  }
  const steps = await stepsFor(disk, ids)
  if (!dryRun) await writeTable(disk, steps)
  return opened.findings
}

async function stepsFor(disk: OpenedDisk['disk'], ids: NewIds): Promise<readonly TableStep[]> {
  const table = await readPartitionTable(disk)
  const diskId = ids.diskGuid ?? ids.signature
  if (diskId === undefined && ids.partitionGuids.size === 0) return []
  return planTableIds(disk, table, { ...(diskId === undefined ? {} : { diskId }), partitionGuids: ids.partitionGuids })
}

/** `unknown`: what of the new ids is by chance, and another one next time. */
function changesOf(before: DiskIdentity, ids: NewIds, unknown: IdentityChange): ChangedId[] {
  const single = (['virtualDiskId', 'diskGuid', 'signature'] as const).flatMap((what): ChangedId[] => {
    const after = ids[what]
    return after === undefined ? [] : [{ what, before: before[what], after: unknown[what] === 'new' ? null : after }]
  })
  const partitions = before.partitions.flatMap(({ number, id }): ChangedId[] => {
    const after = ids.partitionGuids.get(number)
    const isUnknown = unknown.partitionGuids !== undefined
    return after === undefined ? [] : [{ what: 'partition', number, before: id, after: isUnknown ? null : after }]
  })
  return [...single, ...partitions]
}

/** What the systems on the disk make of it, spec-notes/partition-tables.md, "Writing a GPT". */
function consequencesOf({ boots, partitionTable, partitions }: DiskIdentity, ids: NewIds): Finding[] {
  const ofPartitions = ids.partitionGuids.size > 0 || ids.signature !== undefined
  if (!ofPartitions && ids.diskGuid === undefined) return []
  const consequences: Finding[] = []
  const add = (code: string, message: string) => consequences.push({ code, message })
  if (boots !== null) {
    const [firmware, target] =
      boots === 'uefi' ? ['UEFI', 'the EFI system partition'] : ['BIOS', 'the active partition']
    add(
      'BCD_NAMES_OLD_IDS',
      `a Windows on this disk does not start (0xC000000E): its boot configuration (BCD) names the disk and the partition by the old ids. With the disk attached, bcdboot W:\\Windows /s S: /f ${firmware} makes it anew, W: being the Windows partition and S: ${target}`,
    )
  }
  if (ofPartitions && partitionTable !== 'none') {
    add(
      'DRIVE_LETTERS_LOST',
      'Windows keeps drive letters by the ids of partitions (MountedDevices): those of this disk may be others than before',
    )
  }
  if (ofPartitions && partitions.some(({ type }) => type.startsWith('Linux'))) {
    add(
      'PARTUUID_CHANGED',
      'a Linux that finds a partition by its PARTUUID, in fstab or root=, does not find it any more',
    )
  }
  return consequences
}
