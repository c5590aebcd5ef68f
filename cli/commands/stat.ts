import type { AttributeDetails, Entry, EntryDetails, RunDetails, TimeDetails } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { attributeNames, entryJson } from '../entry-json.ts'
import { formatFileTime } from '../file-time.ts'
import { Listing } from '../listing.ts'
import { facts, Output } from '../output.ts'
import { printableLine, printableName } from '../printable.ts'
import { table } from '../table.ts'
import { imageArgument, openFilesOf, volumeOptions } from '../volume-options.ts'

export default defineCommand({
  command: 'stat <image> <paths..>',
  describe: 'All that a volume knows of a file',
  builder: yargs =>
    yargs
      .positional('image', imageArgument)
      .positional('paths', { type: 'string', array: true, demandOption: true, describe: 'Files and directories' })
      .option('runs', { type: 'boolean', default: false, describe: 'With the place of each piece on the volume' })
      .options(volumeOptions)
      .options(outputOptions)
      .example('$0 stat sda.vhdx /Windows/explorer.exe', 'Times, ids, attributes, security'),
  lists: ['paths'],
  handler: async args => {
    const output = new Output(args)
    await using opened = await openFilesOf(args, output)
    const listing = new Listing(output, opened.files)
    const entries = await listing.each(args.paths, path => opened.files.stat(path))
    for (const [i, entry] of entries.entries()) {
      const details = await opened.files.details(entry)
      listing.judge(details)
      await output.result(json(details, args.runs), () => (i === 0 ? '' : '\n') + text(details, args.runs))
    }
    return listing.finish()
  },
})

const timeOf = (time: Entry['modified']) => (time === undefined ? null : formatFileTime(time))

/** The keys of `vhdx ls --json`, and all that is known besides. */
function json({ entry, names, times, identifiers, attributes, reparse, sddl }: EntryDetails, runs: boolean) {
  return {
    ...entryJson(entry),
    details: {
      names: names.map(({ name, namespace, parent = null }) => ({ name, namespace, parent })),
      times: times.map(({ source, created, modified, changed, accessed }) => ({
        source,
        created: timeOf(created),
        modified: timeOf(modified),
        changed: timeOf(changed),
        accessed: timeOf(accessed),
      })),
      identifiers,
      attributes: attributes.map(({ runs: list, ...attribute }) => ({
        ...attribute,
        ...(runs ? { runs: list.map(({ content, position = null }) => ({ ...content, position })) } : {}),
      })),
      reparse: reparse ?? null,
      sddl: sddl ?? null,
    },
  }
}

function text({ entry, names, times, identifiers, attributes, reparse, sddl }: EntryDetails, runs: boolean): string {
  return [
    facts([
      ['path', printableName(entry.path)],
      ['kind', entry.kind],
      ['size', `${entry.size} bytes, ${entry.allocatedSize} allocated`],
      ['attributes', attributeNames(entry.attributes).join(', ')],
      ['links', entry.links],
      ['record', entry.record],
      ['target', entry.target === undefined ? undefined : printableLine(entry.target)],
      ...Object.entries(identifiers).map(([name, value]) => [name, printableLine(String(value))] as const),
      ...(reparse === undefined ? [] : [['reparse point', `${reparse.tagName} (${hex(reparse.tag)})`] as const]),
      ...Object.entries(reparse?.facts ?? {}).map(([name, value]) => [name, printableLine(String(value))] as const),
      ['security', sddl === undefined ? undefined : printableLine(sddl)],
      ['error', entry.error === undefined ? undefined : `${entry.error.message} [${entry.error.code}]`],
    ]),
    section(['name', 'namespace', 'directory'], names, ({ name, namespace, parent }) => [
      printableName(name),
      namespace,
      parent === undefined ? '' : `record ${parent}`,
    ]),
    section(['times', 'created', 'modified', 'changed', 'accessed'], times, timeCells),
    section(
      ['attribute', 'name', 'flags', 'size', 'initialized', 'allocated', 'records'],
      attributes,
      attributeCells,
      [3, 4, 5],
    ),
    ...(runs ? attributes.filter(({ runs }) => runs.length > 0).map(runLines) : []),
  ]
    .filter(part => part !== '')
    .join('\n\n')
}

const hex = (value: number) => `0x${value.toString(16).padStart(8, '0')}`

/** A table of `items`; nothing where there are none. */
function section<T>(head: readonly string[], items: readonly T[], cells: (item: T) => string[], right: number[] = []) {
  return items.length === 0 ? '' : table(head, items.map(cells), right)
}

function timeCells({ source, created, modified, changed, accessed }: TimeDetails): string[] {
  return [printableName(source), ...[created, modified, changed, accessed].map(time => timeOf(time) ?? '')]
}

function attributeCells(attribute: AttributeDetails): string[] {
  const { type, name, resident, flags, size, initializedSize, allocatedSize, records } = attribute
  const how = [...(resident ? ['resident'] : []), ...flags].join(', ')
  const sizes = [size, initializedSize, allocatedSize].map(String)
  return [type, printableName(name), how, ...sizes, records.join(', ')]
}

function runLines({ type, name, runs }: AttributeDetails): string {
  const line = ({ content: { offset, length }, position }: RunDetails) =>
    `  ${offset}  ${length} bytes  ${position === undefined ? 'hole' : `at byte ${position}`}`
  return [`${type}${name === '' ? '' : `:${printableName(name)}`}`, ...runs.map(line)].join('\n')
}
