/** A command is one file with four parts in one order: name and help, options, checks, one call into the library. */
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs'
import { OptionError } from '../lib/index.ts'
import { EXIT_CODE_HELP, type ExitCode } from './exit-code.ts'

interface Command<A> {
  /** Name and positionals in yargs' notation: `check <image>`. */
  readonly command: string
  readonly describe: string
  readonly builder: (yargs: Argv) => Argv<A>
  /** Options that may be given more than once. */
  readonly lists?: readonly (keyof A)[]
  readonly handler: (args: ArgumentsCamelCase<A>) => Promise<ExitCode>
}

/**
 * What yargs' handler throws when the arguments are read: the command itself runs afterwards. If it ran inside, or if the
 * handler returned, yargs would lay out the whole help page in case it was asked for, which takes longer than most commands.
 */
export class Chosen extends Error {
  readonly run: () => Promise<ExitCode>

  constructor(run: () => Promise<ExitCode>) {
    super('a command was chosen')
    this.run = run
  }
}

/** A command whose handler gets exactly the arguments its builder declares, and says what the program ends with. */
export function defineCommand<A>({ command, describe, builder, lists = [], handler }: Command<A>): CommandModule {
  const module: CommandModule<object, A> = {
    command,
    describe,
    builder: yargs => builder(yargs.epilogue(EXIT_CODE_HELP)),
    handler: args => {
      const own = settled(args, [...LISTS, ...lists])
      throw new Chosen(() => handler(own))
    },
  }
  // yargs takes commands of any arguments, but its types know no such list.
  return module as unknown as CommandModule
}

/** yargs takes a lone dash for an option without a name and loses it, so it travels as what no argument can be. */
const DASH = '\0-'
export const hideDashes = (args: readonly string[]) => args.map(arg => (arg === '-' ? DASH : arg))
export const showDashes = (text: string) => text.replaceAll(DASH, '-')

/** The arguments, in every command, that name what is read or written here and there and not in one pass. */
const DISKS = ['source', 'image', 'against']
const PATHS = [...DISKS, 'target']

/** The options, in every command, that may be given more than once. */
const LISTS = ['in', 'search']

/** What yargs made of the arguments, in camelCase, without what it lets through although no command can use it. */
function settled<A extends object>(args: A, lists: readonly PropertyKey[]): A {
  const entries = Object.entries(args).map(([name, value]): [string, unknown] => {
    if (Array.isArray(value) && ![...lists, '_'].includes(name)) {
      throw new OptionError('USAGE', `--${name} can be given only once`)
    }
    if (typeof value === 'number' && !(Number.isInteger(value) && value >= 0)) {
      throw new OptionError('USAGE', `${name.length === 1 ? '-' : '--'}${name} has to be a whole number, 0 or more`)
    }
    if (value === '' && PATHS.includes(name)) throw new OptionError('USAGE', `the path for '${name}' is empty`)
    if (value === DASH && DISKS.includes(name)) {
      throw new OptionError(
        'NOT_IN_A_PIPE',
        `a disk cannot be read from a pipe: '${name}' has to be a file or a device, which is read here and there. Write what comes through the pipe to a file first`,
      )
    }
    return [name.replaceAll(/-(.)/g, (_, letter) => letter.toUpperCase()), withDashes(value)]
  })
  return Object.fromEntries(entries) as A
}

function withDashes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withDashes)
  return typeof value === 'string' ? showDashes(value) : value
}

/** Options that every command has. */
export const outputOptions = {
  json: { type: 'boolean', default: false, describe: 'Print JSON, for programs' },
  quiet: { type: 'boolean', alias: 'q', default: false, describe: 'Print results and errors only' },
} as const
