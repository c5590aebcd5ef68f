import { type ChainImage, formatSize, type ImageChain, readChain } from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode, exitCodeOf } from '../exit-code.ts'
import { Output } from '../output.ts'
import { table } from '../table.ts'
import { parentOptions, parentOptionsOf } from '../volume-options.ts'

export default defineCommand({
  command: 'chain <image>',
  describe: 'The parents of a differencing image, and whether they fit',
  builder: yargs =>
    yargs
      .positional('image', { type: 'string', demandOption: true, describe: 'A VHDX or a VHD' })
      .options(parentOptions)
      .options(outputOptions)
      .example('$0 chain child.avhdx', 'The image, its parent, and so on to the base')
      .example('$0 chain child.avhdx --search /mnt/backup', 'With parents that were moved'),
  lists: ['search'],
  handler: async args => {
    const output = new Output(args)
    const chain = await readChain(args.image, parentOptionsOf(args))
    await output.result(chainJson(chain), () => chainText(chain))
    if (chain.problem !== undefined) return exitCodeOf(chain.problem)
    return chain.findings.length > 0 ? ExitCode.problems : ExitCode.done
  },
})

/** What became of the search for the parent of image `index`. */
function linkage({ images, problem }: ImageChain, index: number): string {
  if (images[index]!.parent === undefined) return 'none needed'
  if (index < images.length - 1) return 'found, its id fits'
  return problem?.code === 'PARENT_NOT_FOUND' ? 'MISSING' : `NOT USABLE (${problem?.code})`
}

function chainJson(chain: ImageChain) {
  const { problem, findings } = chain
  return {
    images: chain.images.map(imageJson),
    complete: problem === undefined,
    problem: problem ? { code: problem.code, message: problem.message, details: problem.details } : null,
    findings,
  }
}

/** What the image says, without how it is opened. */
const imageJson = ({ path, format, type, virtualSize, logicalSectorSize, fileSize, ...image }: ChainImage) => ({
  path,
  format,
  type,
  virtualSize,
  logicalSectorSize,
  fileSize,
  modified: image.modified ?? null,
  created: image.created ?? null,
  id: image.id,
  parent: image.parent ? { ...image.parent, modified: image.parent.modified ?? null } : null,
})

function chainText(chain: ImageChain): string {
  const rows = chain.images.map((image, index) => [
    image.path,
    `${image.format}, ${image.type}`,
    formatSize(image.virtualSize),
    formatSize(image.fileSize),
    toTheSecond(image.modified),
    image.id,
    linkage(chain, index),
  ])
  return [
    table(['image', 'format', 'disk', 'file', 'changed', 'id', 'parent'], rows, [2, 3]),
    ...chain.findings.map(({ message }) => `warning: ${message}`),
    ...(chain.problem ? [`PROBLEM: ${chain.problem.message}`] : []),
  ].join('\n')
}

/** In UTC. */
const toTheSecond = (date: Date | undefined) => date?.toISOString().replace(/\.\d+Z$/, 'Z') ?? ''
