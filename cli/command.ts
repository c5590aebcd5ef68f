/** A command is one file with four parts in one order: name and help, options, checks, one call into the library. */
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs'
import type { ExitCode } from './exit-code.ts'

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

/** A command whose handler gets exactly the arguments its builder declares, and says what the program ends with. */
export const defineCommand =
  <A>(command: Command<A>) =>
  (outcome: Outcome): CommandModule<object, A> => ({
    ...command,
    handler: async args => {
      outcome.exitCode = await command.handler(args)
    },
  })

export type DefinedCommand = ReturnType<typeof defineCommand>

/** Options that every command has. */
export const outputOptions = {
  json: { type: 'boolean', default: false, describe: 'Print JSON, for programs' },
  quiet: { type: 'boolean', alias: 'q', default: false, describe: 'Print results and errors only' },
} as const
