/** The command line: finds the command, runs it, prints its errors and says what the program ends with. */
import yargs, { type Argv, type CommandModule } from 'yargs'
import { Parser } from 'yargs/helpers'
import { OptionError } from '../lib/index.ts'
import { Chosen, hideDashes, outputOptions, showDashes } from './command.ts'
import { EXIT_CODE_HELP, ExitCode, exitCodeOf } from './exit-code.ts'
import { describeError } from './output.ts'
import { packageVersion } from './version.ts'

/** Each command is loaded when it is asked for, or all of them for the help page: starting stays fast. */
const COMMANDS: Readonly<Record<string, () => Promise<{ default: CommandModule }>>> = {
  capture: () => import('./commands/capture.ts'),
  cat: () => import('./commands/cat.ts'),
  chain: () => import('./commands/chain.ts'),
  check: () => import('./commands/check.ts'),
  compact: () => import('./commands/compact.ts'),
  convert: () => import('./commands/convert.ts'),
  cp: () => import('./commands/cp.ts'),
  create: () => import('./commands/create.ts'),
  diff: () => import('./commands/diff.ts'),
  du: () => import('./commands/du.ts'),
  find: () => import('./commands/find.ts'),
  hash: () => import('./commands/hash.ts'),
  identity: () => import('./commands/identity.ts'),
  info: () => import('./commands/info.ts'),
  inspect: () => import('./commands/inspect.ts'),
  ls: () => import('./commands/ls.ts'),
  map: () => import('./commands/map.ts'),
  merge: () => import('./commands/merge.ts'),
  partitions: () => import('./commands/partitions.ts'),
  rebase: () => import('./commands/rebase.ts'),
  relink: () => import('./commands/relink.ts'),
  repair: () => import('./commands/repair.ts'),
  resize: () => import('./commands/resize.ts'),
  stat: () => import('./commands/stat.ts'),
  tree: () => import('./commands/tree.ts'),
  verify: () => import('./commands/verify.ts'),
}

/** yargs' words for what goes wrong most, in ours. */
const WORDS = {
  'Not enough arguments following: %s': '--%s needs a value',
  'Argument: %s, Given: %s, Choices: %s': '--%s cannot be %s, only %s',
  'Did you mean %s?': 'There is no such command. Perhaps this is meant: %s',
}

// Output judges what could not be written; without these, Node would end the program with a stack.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

/** Runs the command line `given` (without node and script). Never throws: prints the error and returns its exit code. */
export async function main(given: readonly string[]): Promise<ExitCode> {
  // `vhdx help capture` is `vhdx capture --help`.
  const args = given[0] === 'help' ? [...given.slice(1), '--help'] : given
  try {
    const [name = ''] = args
    const named = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
    const help = named === undefined ? 'vhdx --help' : `vhdx ${name} --help`
    const wanted = named === undefined ? Object.values(COMMANDS) : [named]
    const commands = await Promise.all(wanted.map(load => load()))
    const parser = yargs(hideDashes(args))
      .scriptName('vhdx')
      .usage('$0 <command>\n\nCaptures disks into VHDX images that Windows attaches, and looks into such images.')
      .locale('en')
      .updateStrings(WORDS)
      .parserConfiguration({
        'boolean-negation': false,
        'camel-case-expansion': false,
        'dot-notation': false,
        'greedy-arrays': false,
      })
      // Known here too, so that they may come before the command.
      .boolean(Object.keys(outputOptions))
      .command(commands.map(command => command.default))
      .completion('completion', 'Print a script for shell completion: vhdx completion >> ~/.bashrc')
      .demandCommand(1, 'Say what to do')
      .recommendCommands()
      .strict()
      .version(packageVersion())
      .alias({ h: 'help', V: 'version' })
      .epilogue(EXIT_CODE_HELP)
      .wrap(Math.min(120, process.stdout.columns ?? 100))
      .exitProcess(false)
      .fail((message, error) => {
        // yargs gives some of its own errors as a message and some as an error; the rest comes from the command.
        if (error && error.name !== 'YError') throw error
        const line = showDashes(message ?? error.message).replaceAll(/\s+/g, ' ')
        throw new OptionError('USAGE', `${line}. See ${help}`)
      })
    const chosen = await chosenBy(parser)
    return chosen === undefined ? ExitCode.done : await chosen.run()
  } catch (error) {
    const { json } = Parser([...args], { boolean: ['json'] })
    process.stderr.write(`${describeError(error, json)}\n`)
    return exitCodeOf(error)
  }
}

/** Undefined where yargs answered by itself, with a help page or the version. */
async function chosenBy(parser: Argv): Promise<Chosen | undefined> {
  try {
    await parser.parseAsync()
    return undefined
  } catch (error) {
    if (error instanceof Chosen) return error
    throw error
  }
}
