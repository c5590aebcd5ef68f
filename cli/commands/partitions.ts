import { formatSize, type ListedPartition, listPartitions, type PartitionList } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { Output } from '../output.ts'
import { printableLine } from '../printable.ts'
import { table } from '../table.ts'
import { diskOptions, imageArgument, openDiskOf } from '../volume-options.ts'

export default defineCommand({
  command: 'partitions <image>',
  describe: 'The partitions of a disk and what is on each',
  builder: yargs =>
    yargs
      .positional('image', imageArgument)
      .options(diskOptions)
      .options(outputOptions)
      .example('$0 partitions sda.vhdx', 'The numbers that --partition takes'),
  handler: async args => {
    const output = new Output(args)
    await using opened = await openDiskOf(args, output)
    const list = await listPartitions(opened.image.disk)
    await output.result(json(list), () => text(list))
    return list.partitions.some(({ fileSystem }) => fileSystem === undefined) ? ExitCode.problems : ExitCode.done
  },
})

function json({ table, partitions }: PartitionList) {
  return {
    table: table.type,
    diskId: table.diskId ?? null,
    sectorSize: table.sectorSize,
    partitions: partitions.map(({ partition, fileSystem, label, clusterSize, error, findings }) => ({
      number: partition.number,
      type: partition.typeName,
      typeId: partition.typeId,
      id: partition.id ?? null,
      name: partition.name ?? null,
      active: partition.active ?? null,
      offset: partition.offset,
      size: partition.size,
      fileSystem: fileSystem ?? null,
      label: label ?? null,
      clusterSize: clusterSize ?? null,
      error: error === undefined ? null : { code: error.code, message: error.message },
      findings: findings.map(({ code, message }) => ({ code, message })),
    })),
    findings: table.findings.map(({ code, message }) => ({ code, message })),
  }
}

const HEAD = ['#', 'type', 'file system', 'label', 'offset', 'size']

function text({ table: { type, diskId, findings }, partitions }: PartitionList): string {
  const rows = partitions.map(({ partition, fileSystem = 'damaged', label = '' }) => [
    String(partition.number),
    partition.name ? `${partition.typeName} (${printableLine(partition.name)})` : partition.typeName,
    fileSystem,
    printableLine(label),
    String(partition.offset),
    formatSize(partition.size),
  ])
  return [
    `partition table: ${type}${diskId === undefined ? '' : ` ${diskId}`}`,
    ...(rows.length > 0 ? [table(HEAD, rows, [0, 4, 5])] : []),
    ...findings.map(({ message }) => `warning: ${message}`),
    ...partitions.flatMap(remarks),
  ].join('\n')
}

/** What stands in the way of reading the files of a partition, or speaks against it. */
const remarks = ({ partition: { number }, fileSystem, error, findings }: ListedPartition): string[] => [
  ...(error === undefined || fileSystem === 'none' ? [] : [`partition ${number}: ${error.message} [${error.code}]`]),
  ...findings.map(({ message }) => `warning: partition ${number}: ${message}`),
]
