import { type DiskDescription, describeDisk, formatSize, NotFoundError } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { facts, Output } from '../output.ts'
import { table } from '../table.ts'
import { parentOptions, parentOptionsOf } from '../volume-options.ts'

export default defineCommand({
  command: 'info <image>',
  describe: 'What an image or a disk is and holds',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A VHDX, a VHD, a raw image or a disk' })
      .option('manifest', { type: 'boolean', default: false, describe: 'Print the manifest of the capture, as JSON' })
      .options(parentOptions)
      .options(outputOptions)
      .example('$0 info sda.vhdx', 'Format, partitions, file systems')
      .example('$0 info sda.vhdx --manifest', 'What was captured, left out and hashed'),
  lists: ['search'],
  handler: async args => {
    const output = new Output(args)
    const description = await describeDisk(args.image, parentOptionsOf(args))
    const { manifest } = description
    if (!args.manifest) await output.result(description, () => descriptionText(description))
    else if (manifest) await output.result(manifest, () => JSON.stringify(manifest, null, 2))
    else throw noManifest(args.image)
    return ExitCode.done
  },
})

const noManifest = (path: string) =>
  new NotFoundError('NO_MANIFEST', `${path} has no capture manifest: only what vhdx capture wrote has one`, { path })

function descriptionText(disk: DiskDescription): string {
  const { manifest, partitionTable } = disk
  const parents = disk.chain.slice(1).map(({ path }) => path)
  const rows = disk.partitions.map(({ number, type, name, fileSystem, label, offset, size, usedBytes }) => [
    String(number),
    name ? `${type} (${name})` : type,
    fileSystem,
    label ?? '',
    String(offset),
    formatSize(size),
    formatSize(usedBytes),
  ])
  return [
    facts([
      ['image', disk.path],
      ['format', `${disk.format}, ${disk.type}`],
      ['disk', `${formatSize(disk.virtualSize)} (${disk.virtualSize} bytes)`],
      ['file', `${formatSize(disk.fileSize)} (${disk.fileSize} bytes)`],
      ['sectors', `${disk.logicalSectorSize} bytes logical, ${disk.physicalSectorSize} physical`],
      ['blocks', disk.blockSize === null ? undefined : `${disk.allocatedBlocks} of ${formatSize(disk.blockSize)}`],
      ['parents', parents.length > 0 ? parents.join(', ') : undefined],
      ['log', disk.log ?? undefined],
      ['disk id', disk.virtualDiskId ?? undefined],
      ['data write id', disk.dataWriteGuid ?? undefined],
      ['unique id', disk.uniqueId ?? undefined],
      ['creator', disk.creator ?? undefined],
      ['partition table', `${partitionTable.type}${partitionTable.diskId ? ` ${partitionTable.diskId}` : ''}`],
      [
        'captured',
        manifest
          ? `${manifest.finished} from ${manifest.source.path} by ${manifest.tool.name} ${manifest.tool.version}`
          : undefined,
      ],
      ['merged', manifest?.merged && `${manifest.merged}: changes made since the capture`],
    ]),
    ...(rows.length > 0
      ? ['', table(['#', 'type', 'file system', 'label', 'offset', 'size', 'used'], rows, [0, 4, 5, 6])]
      : []),
    ...(manifest?.leftOut ?? []).map(
      file => `left out: ${file.path} on partition ${file.partition}, ${formatSize(file.bytes)} (${file.reason})`,
    ),
    ...(manifest && manifest.readErrors.bytes > 0
      ? [`UNREADABLE at capture: ${manifest.readErrors.bytes} bytes are zeros`]
      : []),
    ...disk.findings.map(finding => `warning: ${finding.message}`),
  ].join('\n')
}
