import {
  type ChangedId,
  changeIdentity,
  type DiskIdentity,
  type IdentityChange,
  type IdentityReport,
  OptionError,
  readIdentity,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { facts, Output } from '../output.ts'
import { table } from '../table.ts'

export default defineCommand({
  command: 'identity <image>',
  describe: 'The ids by which systems know a disk, and new ones for a copy',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A VHDX, a raw image, or to look at a VHD' })
      .option('new', { type: 'boolean', describe: 'New ids for the disk and its partitions: all that it has' })
      .option('disk-id', {
        type: 'string',
        requiresArg: true,
        describe: 'The id of the virtual disk (SCSI page 83): a GUID, or new. No system on the disk knows it',
      })
      .option('disk-guid', { type: 'string', requiresArg: true, describe: 'The disk GUID of a GPT: a GUID, or new' })
      .option('partition-guids', { type: 'boolean', describe: 'New GUIDs for all partitions of a GPT' })
      .option('signature', {
        type: 'string',
        requiresArg: true,
        describe: 'The disk signature of an MBR: 8 hex digits, or new',
      })
      .conflicts('new', ['disk-id', 'disk-guid', 'partition-guids', 'signature'])
      .option('search', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'A folder in which the parents of the image may be',
      })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'Although it has children, which do not fit it any more then',
      })
      .option('dry-run', { type: 'boolean', default: false, describe: 'Say what would be changed, and what follows' })
      .options(outputOptions)
      .example('$0 identity disk.vhdx', 'The ids it has')
      .example('$0 identity copy.vhdx --new', 'So that it can be attached beside its original')
      .example('$0 identity copy.vhdx --disk-id new', 'Windows on it starts as before')
      .epilogue(
        'Windows keeps a second disk with the same GUID or signature offline, or gives it others itself. It also starts by these ids: after a change of any but --disk-id its boot configuration (BCD) has to be made anew with bcdboot.',
      ),
  lists: ['search'],
  handler: async args => {
    const output = new Output(args)
    const search = args.search ? { search: args.search } : {}
    const change = changeOf(args)
    if (change === undefined) {
      const identity = await readIdentity(args.image, search)
      for (const finding of identity.findings) output.warn(finding)
      const { findings, ...ids } = identity
      await output.result({ ...ids, warnings: findings }, () => identityText(identity))
      return ExitCode.done
    }
    const { force, dryRun } = args
    const report = await changeIdentity(args.image, change, { ...search, force, dryRun })
    const { findings, ...done } = report
    for (const finding of findings) output.warn(finding)
    await output.result({ ...done, warnings: findings }, () => reportText(report))
    return ExitCode.done
  },
})

interface ChangeArguments {
  readonly new: boolean | undefined
  readonly diskId: string | undefined
  readonly diskGuid: string | undefined
  readonly partitionGuids: boolean | undefined
  readonly signature: string | undefined
}

/** Undefined where nothing is to be changed. */
function changeOf(args: ChangeArguments): IdentityChange | 'all' | undefined {
  if (args.new) return 'all'
  const { diskId, diskGuid, partitionGuids, signature } = args
  const change: IdentityChange = {
    ...(diskId === undefined ? {} : { virtualDiskId: parseId(diskId, GUID) }),
    ...(diskGuid === undefined ? {} : { diskGuid: parseId(diskGuid, GUID) }),
    ...(signature === undefined
      ? {}
      : { signature: parseId(signature.replace(/^0x/i, ''), 'a disk signature, which has 8 hex digits') }),
    ...(partitionGuids ? { partitionGuids: 'new' } : {}),
  }
  return Object.keys(change).length > 0 ? change : undefined
}

const GUID = 'a GUID such as 788015f0-5e93-4bd2-a5de-b0cd8459db11'

/** Ids are written with and without braces, in either case. */
function parseId(text: string, kind: string): string {
  const id = /^\{?([0-9a-f-]+|new)\}?$/.exec(text.trim().toLowerCase())?.[1]
  if (id === undefined) throw new OptionError('BAD_ID', `'${text}' is not ${kind}. Give one, or the word new`)
  return id
}

function identityText(identity: DiskIdentity): string {
  const { path, partitionTable, diskGuid, signature, boots, partitions } = identity
  const rows = partitions.map(({ number, type, name, id }) => [
    String(number),
    name ? `${type} (${name})` : type,
    id ?? '',
  ])
  return [
    facts([
      ['image', path],
      ['disk id', identity.virtualDiskId ?? undefined],
      ['unique id', identity.uniqueId ?? undefined],
      ['data write id', identity.dataWriteGuid ?? undefined],
      ['partition table', partitionTable],
      ['disk GUID', diskGuid ?? undefined],
      ['signature', signature ?? undefined],
      ['starts by', boots === null ? undefined : boots.toUpperCase()],
    ]),
    ...(rows.length > 0 ? ['', table(['#', 'type', 'id'], rows, [0])] : []),
  ].join('\n')
}

const NAMES: Readonly<Record<ChangedId['what'], string>> = {
  virtualDiskId: 'disk id (page 83)',
  diskGuid: 'disk GUID',
  signature: 'disk signature',
  partition: 'partition',
}

function reportText({ path, changed, consequences, dryRun }: IdentityReport): string {
  const rows = changed.map(({ what, number, before, after }) => [
    number === undefined ? NAMES[what] : `${NAMES[what]} ${number}`,
    before ?? '',
    after ?? 'a new one',
  ])
  const untouched = 'the systems on the disk start and find their partitions as before: none of them knows this id'
  return [
    `${path}: ${dryRun ? 'these ids would be changed' : 'it has other ids'}`,
    table(['id', 'before', 'after'], rows, []),
    ...(consequences.length === 0 ? [untouched] : consequences.map(({ message }) => `note: ${message}`)),
  ].join('\n')
}
