import { defineCommand, outputOptions } from '../command.ts'
import { rebaseOptions, runRebase } from '../rebase-report.ts'

export default defineCommand({
  command: 'rebase <image>',
  describe: 'Give a differencing VHDX another parent; its disk stays the same',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A differencing VHDX' })
      .options(rebaseOptions)
      .options(outputOptions)
      .example('$0 rebase friday.avhdx --parent base.vhdx', 'The images between them are not needed any more')
      .epilogue(
        'What differs between the old parent and the new is copied into the image first, so both are read as far as it takes anything from them. Interrupted, it still has the old one.',
      ),
  lists: ['search'],
  handler: args => runRebase(args, { copy: true }),
})
