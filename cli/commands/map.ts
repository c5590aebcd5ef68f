import {
  type BlockMap,
  type BlockStates,
  type BlockTable,
  demandVhdx,
  FileDevice,
  formatSize,
  mapBlocks,
  openBlockTable,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { isUtf8, Output } from '../output.ts'

const COLUMNS = 64
const ROWS = 16

/** From nothing to everything. A cell with anything in it never looks like one with nothing. */
const UNICODE_SHADES = ['·', '░', '▒', '▓', '█']
const ASCII_SHADES = ['.', '-', '+', '*', '#']

export default defineCommand({
  command: 'map <image>',
  describe: 'Which blocks of the disk are in the file, as a picture or as ranges',
  builder: yargs =>
    yargs
      .positional('image', {
        type: 'string',
        demandOption: true,
        describe: 'A VHDX; the parent of a child is not needed',
      })
      .option('ranges', { type: 'boolean', default: false, describe: 'List the states of all blocks as ranges' })
      .option('ascii', { type: 'boolean', default: !isUtf8(), describe: 'Draw with ASCII characters' })
      .options(outputOptions)
      .example('$0 map sda.vhdx', 'A picture of the disk')
      .example('$0 map sda.vhdx --json', 'A line of JSON for each range, then a summary'),
  handler: async args => {
    const output = new Output(args)
    await using file = await FileDevice.open(args.image)
    await demandVhdx(file, args.image)
    const table = await openBlockTable(file)
    if (args.ranges || args.json) await output.results(rangesOf(table), rangeText)
    const map = await mapBlocks(table, COLUMNS * ROWS)
    const { virtualSize, blockSize, blockCount } = table.geometry
    const summary = { type: 'summary', virtualSize, blockSize, blockCount, blocks: map.blocks }
    await output.result(summary, () => (args.ranges ? countsText(map) : picture(table.geometry, map, args.ascii)))
    return ExitCode.done
  },
})

interface BlockRange extends BlockStates {
  readonly type: 'range'
  readonly offset: number
  readonly length: number
}

async function* rangesOf(table: BlockTable): AsyncGenerator<BlockRange> {
  const { blockSize, virtualSize } = table.geometry
  for await (const { block, count, state } of table.blockStates()) {
    const offset = block * blockSize
    yield { type: 'range', offset, length: Math.min(count * blockSize, virtualSize - offset), block, count, state }
  }
}

function rangeText({ offset, length, state, block, count }: BlockRange): string {
  return `${String(offset).padStart(15)}  ${formatSize(length).padStart(10)}  ${state.padEnd(16)}  block ${block}, ${count} in all`
}

function picture({ blockCount, blockSize }: BlockTable['geometry'], map: BlockMap, ascii: boolean): string {
  const shades = ascii ? ASCII_SHADES : UNICODE_SHADES
  const bytesPerCell = (blockCount / map.cells.length) * blockSize
  const rows = Math.ceil(map.cells.length / COLUMNS)
  const lines = Array.from({ length: rows }, (_, row) => {
    const offset = row * COLUMNS * bytesPerCell
    const cells = map.cells.slice(row * COLUMNS, (row + 1) * COLUMNS)
    return `${formatSize(offset).padStart(10)}  ${cells.map(share => shadeOf(share, shades)).join('')}`
  })
  const cell = `a cell is ${formatSize(bytesPerCell)}`
  const legend = `${shades[0]} nothing  ${shades[1]} to 1/3  ${shades[2]} to 2/3  ${shades[3]} more  ${shades[4]} all`
  return [...lines, '', `${legend}; ${cell} of the disk`, countsText(map)].join('\n')
}

function shadeOf(share: number, shades: readonly string[]): string {
  if (share === 0) return shades[0]!
  return share === 1 ? shades[4]! : shades[1 + Math.floor(share * 3)]!
}

function countsText({ blocks }: BlockMap): string {
  const counts = Object.entries(blocks).filter(([, count]) => count > 0)
  return `blocks: ${counts.map(([state, count]) => `${count} ${state}`).join(', ')}`
}
