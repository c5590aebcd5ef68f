/** The command line: finds the command, runs it, prints its errors and says what the program ends with. */
import yargs from 'yargs'
import type { DefinedCommand, Outcome } from './command.ts'
import { EXIT_CODE_HELP, ExitCode, exitCodeOf } from './exit-code.ts'
import { describeError } from './output.ts'
import { packageVersion } from './version.ts'

/** Each command is loaded when it is asked for, or all of them for the help page: starting stays fast. */
const COMMANDS: Readonly<Record<string, () => Promise<{ default: DefinedCommand }>>> = {
  capture: () => import('./commands/capture.ts'),
  check: () => import('./commands/check.ts'),
  create: () => import('./commands/create.ts'),
  info: () => import('./commands/info.ts'),
  inspect: () => import('./commands/inspect.ts'),
  map: () => import('./commands/map.ts'),
  verify: () => import('./commands/verify.ts'),
}

/** yargs' own usage errors: the message is all there is to know. */
class UsageError extends Error {}

/** Runs the command line `args` (without node and script). Never throws: prints the error and returns its exit code. */
export async function main(args: readonly string[]): Promise<ExitCode> {
  const outcome: Outcome = { exitCode: ExitCode.done }
  try {
    const named = COMMANDS[args[0] ?? '']
    const wanted = named === undefined ? Object.values(COMMANDS) : [named]
    const commands = await Promise.all(wanted.map(load => load()))
    const parser = yargs([...args])
      .scriptName('vhdx')
      .usage('$0 <command>\n\nCaptures disks into VHDX images that Windows attaches, and looks into such images.')
      .command(commands.map(command => command.default(outcome)))
      .completion('completion', 'Print a script for shell completion: vhdx completion >> ~/.bashrc')
      .demandCommand(1, 'Say what to do: vhdx --help lists the commands')
      .recommendCommands()
      .strict()
      .version(packageVersion())
      .alias({ h: 'help', V: 'version' })
      .epilogue(EXIT_CODE_HELP)
      .wrap(Math.min(120, process.stdout.columns ?? 100))
      .exitProcess(false)
      .fail((message, error) => {
        throw error ?? new UsageError(message)
      })
    await parser.parseAsync()
    return outcome.exitCode
  } catch (error) {
    if (error instanceof UsageError) {
      const command = COMMANDS[args[0] ?? ''] === undefined ? 'vhdx' : `vhdx ${args[0]}`
      process.stderr.write(`vhdx: ${error.message}. See ${command} --help\n`)
      return ExitCode.usage
    }
    process.stderr.write(`${describeError(error, args.includes('--json'))}\n`)
    return exitCodeOf(error)
  }
}
