/**
 * An image is made smaller where it lies: blocks lose their places, and what lies behind moves into them. Each step is
 * on the medium before the next one builds on it, so that a power cut leaves an image of the same disk, somewhere between.
 */
import { MiB } from '../binary/size.ts'
import type { RangeCopier } from '../device/range-copier.ts'
import { settle } from '../device/settle.ts'
import { Bat, type BatPage } from './bat.ts'
import { highAt, lowAt, mebibyteOf, stateOf, writeEntry } from './bat-entry.ts'
import { BatSweep } from './bat-sweep.ts'
import { BlockSet } from './block-set.ts'
import { BAT_ENTRY_SIZE, LOG_SECTOR_SIZE } from './format.ts'
import { MAX_CHANGED_SECTORS } from './metadata-pages.ts'
import { type Move, Packing } from './packing.ts'
import type { WriteSession } from './write-session.ts'

/** The BAT as it is with all changes of `session`. */
const batOf = ({ pages, structures: { regionTables, geometry } }: WriteSession) =>
  new Bat(pages, regionTables.bat.offset, geometry)

/**
 * Takes their place from the blocks in `dropped`, which read as zeros from then on, and from all that has one without
 * need. Durable when it is done.
 */
export async function dropBlocks(session: WriteSession, dropped: BlockSet): Promise<void> {
  const sweep = new BatSweep(session.structures.geometry, dropped)
  const bat = batOf(session)
  for await (const page of bat.pages()) {
    const sectors = sweptSectors(page, sweep)
    for (let i = 0; i < sectors.length; i += MAX_CHANGED_SECTORS) {
      await session.change(
        sectors.slice(i, i + MAX_CHANGED_SECTORS).map(at => ({
          position: bat.positionOf(page.index) + at,
          bytes: page.bytes.subarray(at, at + LOG_SECTOR_SIZE),
        })),
      )
    }
  }
  await session.commit()
}

/** Sweeps `page` and gives the bytes at which the log's sectors begin in which something became different. */
function sweptSectors(page: BatPage, sweep: BatSweep): number[] {
  const { bytes } = page
  const sectors = new Set<number>()
  sweep.page(page, (at, state, mebibyte) => {
    const [low, high] = [lowAt(bytes, at), highAt(bytes, at)]
    if (stateOf(low) === state && mebibyteOf(low, high) === mebibyte) return
    writeEntry(bytes, at, state, mebibyte * MiB)
    sectors.add(at - (at % LOG_SECTOR_SIZE))
  })
  return [...sectors]
}

/** Bytes that move between two commits, or a little more. */
const BATCH_LENGTH = 256 * MiB

/**
 * Moves what lies at the end of the file into its gaps, by `copier`, and cuts the file when `session` is closed. A place
 * that was left is not used again before that.
 */
export async function packFile(session: WriteSession, copier: RangeCopier): Promise<void> {
  const { file, structures } = session
  const { geometry, areas } = structures
  const packing = await Packing.plan(batOf(session), geometry, areas, new BlockSet())
  let committed: Promise<void> = Promise.resolve()
  for await (const batch of batches(packing.moves())) {
    // While the moves before are being committed.
    await settle(
      batch.map(({ from, to, length }) =>
        copier.copy({ source: file, from: { offset: from, length }, target: file, offset: to }),
      ),
    )
    await committed
    for (let i = 0; i < batch.length; i += MAX_CHANGED_SECTORS) {
      await session.change(batch.slice(i, i + MAX_CHANGED_SECTORS).map(entryOf))
    }
    committed = session.commit()
    // Awaited in its turn; until then a rejection is not unhandled.
    committed.catch(() => {})
  }
  await committed
  if (file.size === packing.end) return
  await session.begin(false)
  // What is free is found out now, from the BAT as it has become: the close cuts the file by that.
  await session.freeSpace()
}

async function* batches(moves: AsyncIterable<Move>): AsyncIterable<Move[]> {
  let batch: Move[] = []
  let length = 0
  for await (const move of moves) {
    batch.push(move)
    length += move.length
    if (length < BATCH_LENGTH) continue
    yield batch
    batch = []
    length = 0
  }
  if (batch.length > 0) yield batch
}

function entryOf({ entryPosition, state, to }: Move) {
  const bytes = Buffer.alloc(BAT_ENTRY_SIZE)
  writeEntry(bytes, 0, state, to)
  return { position: entryPosition, bytes }
}
