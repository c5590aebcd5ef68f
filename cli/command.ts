/** A command is one file with four parts in one order: name and help, options, checks, one call into the library. */
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs'
import { EXIT_CODE_HELP, type ExitCode } from './exit-code.ts'

/** Where `main` finds what the handler came to: yargs itself hands no value back. */
export interface Outcome {
  exitCode: ExitCode
}

interface Command<A> {
  /** Name and positionals in yargs' notation: `check <image>`. */
  readonly command: string
  readonly describe: string
  readonly builder: (yargs: Argv) => Argv<A>
  readonly handler: (args: ArgumentsCamelCase<A>) => Promise<ExitCode>
}

/** A command as `main` takes it: given where to leave its exit code, what yargs runs. */
export type DefinedCommand = (outcome: Outcome) => CommandModule

/** A command whose handler gets exactly the arguments its builder declares, and says what the program ends with. */
export function defineCommand<A>(command: Command<A>): DefinedCommand {
  return outcome => {
    const module: CommandModule<object, A> = {
      ...command,
      builder: yargs => command.builder(yargs.epilogue(EXIT_CODE_HELP)),
      handler: async args => {
        outcome.exitCode = await command.handler(args)
      },
    }
    // yargs takes commands of any arguments, but its types know no such list.
    return module as unknown as CommandModule
  }
}

/** Options that every command has. */
export const outputOptions = {
  json: { type: 'boolean', default: false, describe: 'Print JSON, for programs' },
  quiet: { type: 'boolean', alias: 'q', default: false, describe: 'Print results and errors only' },
} as const
