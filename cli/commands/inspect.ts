import {
  demandVhdx,
  FileDevice,
  type InspectedField,
  type InspectedStructure,
  inspectVhdx,
  OptionError,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { Output } from '../output.ts'

export default defineCommand({
  command: 'inspect <image>',
  describe: 'Every structure of a VHDX, with its place in the file and its fields',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A VHDX, which may be damaged' })
      .option('bat', {
        type: 'string',
        requiresArg: true,
        describe: 'Show these entries of the BAT too: 0-63, or 4096 for one',
      })
      .options(outputOptions)
      .example('$0 inspect sda.vhdx', 'Headers, regions, log, metadata, BAT')
      .example('$0 inspect sda.vhdx --bat 4090-4100', 'And what these entries of the BAT say'),
  handler: async args => {
    const output = new Output(args)
    const batEntries = args.bat === undefined ? undefined : parseEntries(args.bat)
    await using file = await FileDevice.open(args.image)
    await demandVhdx(file, args.image)
    const inspection = await inspectVhdx(file, { batEntries })
    await output.result({ path: args.image, ...inspection }, () =>
      inspection.structures.map(structureText).join('\n\n'),
    )
    return inspection.problems.some(({ severity }) => severity === 'error') ? ExitCode.damaged : ExitCode.done
  },
})

function parseEntries(text: string): { first: number; count: number } {
  const match = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text)
  const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])]
  if (match !== null && last >= first) return { first, count: last - first + 1 }
  throw new OptionError('BAD_ENTRIES', `--bat '${text}' is no range of entries such as 0-63`)
}

function structureText({ name, position, size, status, fields, problems }: InspectedStructure): string {
  const width = Math.max(0, ...fields.map(field => field.name.length))
  return [
    `${place(position)}  ${name}${status === undefined ? '' : ` (${status})`}, ${size} bytes`,
    ...fields.map(field => `  ${place(field.position)}  ${field.name.padEnd(width)}  ${valueText(field)}`),
    ...problems.map(({ severity, message, code }) => `  ${severity}: ${message} [${code}]`),
  ].join('\n')
}

const place = (position: number) => `0x${position.toString(16).padStart(8, '0')}`

/** Numbers that are easier to grasp in hex are given both ways. */
function valueText({ value }: InspectedField): string {
  return typeof value === 'number' && value >= 4096 ? `${value} (0x${value.toString(16)})` : `${value}`
}
