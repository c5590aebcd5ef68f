/**
 * What a disk has held, sector by sector of 512 bytes, and what it may hold when the power is cut: what a sector had when
 * the last flush was asked for that was answered, or anything that was written to it since, and nothing else.
 */
import { endOf } from '../../lib/device/ranges.ts'
import type { RecordingDevice } from '../helpers/recording-device.ts'
import { type DiskKind, type DiskRequest, performOn, trimmed } from './disk-requests.ts'

const SECTOR_SIZE = 512
/** Bytes that are compared at once. */
const CHUNK_SIZE = 16 * 1024

interface Version {
  readonly bytes: Buffer
  /** The first moment of the medium at which it may be there. */
  readonly since: number
  /** When it was answered, by the clock of the history; infinity where it was not. */
  done: number
}

interface Flush {
  readonly asked: number
  /** The first moment of the medium after its answer. */
  readonly since: number
}

export class DiskHistory {
  /** What the disk reads as now. */
  readonly content: Buffer
  readonly #initial: Buffer
  readonly #kind: DiskKind
  readonly #medium: RecordingDevice
  readonly #versions = new Map<number, Version[]>()
  readonly #flushes: Flush[] = [{ asked: 0, since: 0 }]
  #clock = 1
  #base: { flush: Flush; content: Buffer } | undefined

  constructor(initial: Buffer, kind: DiskKind, medium: RecordingDevice) {
    this.content = Buffer.from(initial)
    this.#initial = initial
    this.#kind = kind
    this.#medium = medium
  }

  /** Does `request` by `work`. No two at a time may touch the same sector. */
  async perform(request: DiskRequest, work: () => Promise<void>): Promise<void> {
    const since = this.#medium.moments.length
    performOn(this.content, request, this.#kind)
    const versions: Version[] = []
    const changed = request.verb === 'trim' ? trimmed(request, this.#kind) : request
    const end = Math.ceil(endOf(changed) / SECTOR_SIZE)
    for (let sector = Math.floor(changed.offset / SECTOR_SIZE); sector < end; sector++) {
      const bytes = Buffer.from(sectorOf(this.content, sector))
      const version = { bytes, since, done: Number.POSITIVE_INFINITY }
      const known = this.#versions.get(sector) ?? [{ bytes: sectorOf(this.#initial, sector), since: 0, done: 0 }]
      known.push(version)
      versions.push(version)
      this.#versions.set(sector, known)
    }
    await work()
    const done = this.#clock++
    for (const version of versions) version.done = done
  }

  /** Does a flush, or what has that in it, by `work`. */
  async flush(work: () => Promise<void>): Promise<void> {
    const asked = this.#clock++
    await work()
    const before = this.#flushes.at(-1)!
    this.#flushes.push({ asked: Math.max(before.asked, asked), since: this.#medium.moments.length })
  }

  /** The image is given up: what was written since the last flush may be there or not, whatever is flushed from now on. */
  giveUp(): void {
    const { asked } = this.#flushes.at(-1)!
    for (const versions of this.#versions.values()) {
      for (const version of versions) if (version.done > asked) version.done = Number.POSITIVE_INFINITY
    }
  }

  /** The first sector of `disk` that cannot be what it is when the power is cut at `moment`; undefined when all can. */
  firstWrongSector(disk: Buffer, moment: number): number | undefined {
    const base = this.#baseAt(moment)
    for (let chunk = 0; chunk < disk.length; chunk += CHUNK_SIZE) {
      const end = Math.min(disk.length, chunk + CHUNK_SIZE)
      if (disk.compare(base.content, chunk, end, chunk, end) === 0) continue
      for (let sector = chunk / SECTOR_SIZE; sector * SECTOR_SIZE < end; sector++) {
        const now = sectorOf(disk, sector)
        if (now.equals(sectorOf(base.content, sector))) continue
        const versions = this.#versions.get(sector) ?? []
        const from = lastDone(versions, base.flush)
        if (!versions.slice(from).some(({ bytes, since }) => since <= moment && bytes.equals(now))) return sector
      }
    }
    return undefined
  }

  /** What the disk held at the last flush answered before `moment`. */
  #baseAt(moment: number): { flush: Flush; content: Buffer } {
    const flush = this.#flushes.findLast(({ since }) => since <= moment)!
    if (this.#base?.flush !== flush) {
      const content = Buffer.from(this.#initial)
      for (const [sector, versions] of this.#versions) {
        versions[lastDone(versions, flush)]!.bytes.copy(content, sector * SECTOR_SIZE)
      }
      this.#base = { flush, content }
    }
    return this.#base
  }
}

const sectorOf = (disk: Buffer, sector: number) => disk.subarray(sector * SECTOR_SIZE, (sector + 1) * SECTOR_SIZE)

/** The index of the last version that had been answered when the flush was asked for. */
const lastDone = (versions: readonly Version[], { asked }: Flush) =>
  Math.max(
    0,
    versions.findLastIndex(({ done }) => done <= asked),
  )
