import { defineCommand, outputOptions } from '../command.ts'
import { rebaseOptions, runRebase } from '../rebase-report.ts'

export default defineCommand({
  command: 'relink <image>',
  describe: 'Tell a differencing VHDX where its parent is now',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A differencing VHDX' })
      .options(rebaseOptions)
      .option('unsafe', {
        type: 'boolean',
        default: false,
        describe: 'Take the parent unseen: wherever it differs from the old one the disk changes, and may be damaged',
      })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'With --unsafe: although the image has children, which fit it no more then',
      })
      .options(outputOptions)
      .example('$0 relink child.avhdx --parent /mnt/new/base.vhdx', 'The parent was moved')
      .example('$0 relink child.avhdx --parent copy.vhdx', 'The parent was converted: both are compared')
      .epilogue(
        'A parent with the id of the old one is taken as it is. Another one is compared with it, as far as the image takes anything from its parent, and refused where they differ: vhdx rebase copies what differs.',
      ),
  lists: ['search'],
  handler: args => runRebase(args, { unsafe: args.unsafe, force: args.force }),
})
