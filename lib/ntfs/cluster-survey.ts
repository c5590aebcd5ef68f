/** One look at every cluster: what $Bitmap says, what the records say, and where they differ. spec-notes/ntfs.md, Used space. */
import { KiB } from '../binary/size.ts'
import type { Finding } from '../finding.ts'
import { type BitmapContent, readBitmap } from './bitmap-content.ts'
import type { Candidate } from './candidate.ts'
import { ClusterBitmap, WINDOW_CLUSTERS } from './cluster-bitmap.ts'
import { describeRecord } from './directory-paths.ts'
import { FEW, FindingTally } from './finding-tally.ts'
import type { Mft } from './mft.ts'
import { markOwned, type OwnershipProblems } from './owned-clusters.ts'
import { OwnedRuns } from './owned-runs.ts'

/** The file $Boot, which is copied whatever $Bitmap says. */
const BOOT_SIZE = 8 * KiB
/** Ranges of clusters with two owners that are remembered. With more, nothing is left out. */
const MAX_SHARED = 256

/** Clusters `first` to `end` of the volume. */
export interface Window {
  readonly first: number
  readonly end: number
  /** Whether records own clusters that $Bitmap has as free, so that it takes both to know what is used. */
  needsRecords: boolean
}

export class ClusterSurvey {
  readonly windows: readonly Window[]
  /** Clusters that $Bitmap says are used. */
  usedCount = 0
  /** Clusters that a copy needs: those that $Bitmap or a record says are used, and $Boot. */
  neededCount = 0
  readonly #mft: Mft
  readonly #bitmap: BitmapContent
  readonly #candidates: readonly Candidate[]
  readonly #runs: OwnedRuns
  readonly #tally = new FindingTally()
  readonly #shared: { from: number; to: number }[] = []

  constructor(mft: Mft, bitmap: BitmapContent, candidates: readonly Candidate[]) {
    this.#mft = mft
    this.#bitmap = bitmap
    this.#candidates = candidates
    this.windows = windowsOf(mft.geometry.clusterCount)
    this.#runs = new OwnedRuns(mft, this.windows.length > 1, (record, problem) => {
      this.#tally.add('NTFS_DAMAGED_RECORDS', damagedTold, [() => `record ${record}: ${problem}`])
    })
  }

  /** Surveys all windows and adds objections to the candidates. Throws the signal's reason when it is aborted. */
  async run(signal?: AbortSignal): Promise<Finding[]> {
    const [used, owned] = [this.newBitmap(), this.newBitmap()]
    for (const window of this.windows) await this.#surveyWindow(window, used, owned, signal)
    for (const candidate of this.#candidates) {
      const objection = this.#objection(candidate)
      if (objection !== undefined) candidate.objection ??= objection
    }
    return await this.#tally.findings()
  }

  /** One that can stand at any of the windows. */
  newBitmap(): ClusterBitmap {
    return new ClusterBitmap(Math.min(this.#mft.geometry.clusterCount, WINDOW_CLUSTERS))
  }

  /** Fills `used` with what a copy of `window` needs, as the survey found it. */
  async read(window: Window, used: ClusterBitmap): Promise<void> {
    used.moveTo(window.first, window.end)
    await readBitmap(this.#bitmap, used, () => {})
    if (window.needsRecords) {
      const owned = this.newBitmap()
      owned.moveTo(window.first, window.end)
      await markOwned(this.#runs, owned, used, { free() {}, shared() {} })
      used.merge(owned, 0)
    }
    this.#addBoot(used)
  }

  /** Adds the clusters of $Boot, and gives how many of them were not in `used`. */
  #addBoot(used: ClusterBitmap): number {
    if (used.first > 0) return 0
    let added = 0
    for (let at = used.nextFree(0, this.#bootClusters); at < this.#bootClusters; added++) {
      used.set(at, at + 1)
      at = used.nextFree(at, this.#bootClusters)
    }
    return added
  }

  get #bootClusters(): number {
    return Math.min(Math.ceil(BOOT_SIZE / this.#mft.geometry.clusterSize), this.#mft.geometry.clusterCount)
  }

  async #surveyWindow(window: Window, used: ClusterBitmap, owned: ClusterBitmap, signal?: AbortSignal): Promise<void> {
    const tally = this.#tally
    used.moveTo(window.first, window.end)
    owned.moveTo(window.first, window.end)
    const onUnknown = (count: number, why: string) => tally.add('NTFS_BITMAP_UNKNOWN', unknownTold, [() => why], count)
    await readBitmap(this.#bitmap, used, onUnknown, signal)
    await markOwned(this.#runs, owned, used, this.#problems(), signal)
    for (const candidate of this.#candidates) objectToFree(candidate, used)

    const { mine, onlyMine, onlyOther, firstOnlyMine } = used.merge(owned, FEW)
    const unowned = firstOnlyMine.map(cluster => () => `cluster ${cluster}`)
    if (onlyMine > 0) tally.add('NTFS_UNOWNED_CLUSTERS', unownedTold, unowned, onlyMine)
    if (onlyOther > 0) tally.add('NTFS_OWNED_BUT_FREE', freeTold, [], onlyOther)
    window.needsRecords = onlyOther > 0
    this.usedCount += mine
    this.neededCount += mine + onlyOther + this.#addBoot(used)
  }

  #problems(): OwnershipProblems {
    const fileOf = (record: number) => describeRecord(this.#mft, record)
    return {
      free: (record, cluster) => {
        const example = async () => `cluster ${cluster} of ${await fileOf(record)}`
        // Only the example: clusters are counted when all are known.
        this.#tally.add('NTFS_OWNED_BUT_FREE', freeTold, [example], 0)
      },
      shared: (record, from, to) => {
        const example = async () => `clusters ${from} to ${to - 1} of ${await fileOf(record)}`
        this.#tally.add('NTFS_CROSS_LINKED', sharedTold, [example])
        if (this.#shared.length <= MAX_SHARED) this.#shared.push({ from, to })
      },
    }
  }

  #objection({ runs }: Candidate): string | undefined {
    if (!this.#mft.complete) return 'may share clusters with files in the part of $MFT that was not found'
    if (this.#shared.length > MAX_SHARED) return 'may share clusters with others: too many clusters have two owners'
    for (const { lcn, length } of runs.allocated()) {
      if (lcn < this.#bootClusters) return 'lies where the volume has its boot sector'
      const shared = this.#shared.find(({ from, to }) => from < lcn + length && to > lcn)
      if (shared !== undefined) return `shares cluster ${Math.max(lcn, shared.from)} with another file`
    }
    return undefined
  }
}

const unknownTold = (count: number) => `$Bitmap does not tell of ${count} clusters; they are copied`
const unownedTold = (count: number) =>
  `${count} clusters are marked used in $Bitmap but belong to no file; they are copied`
const freeTold = (count: number) => `${count} clusters belong to files but are marked free in $Bitmap; they are copied`
const damagedTold = (count: number) => `${count} file records are damaged`
const sharedTold = (count: number) => `${count} runs of clusters belong to two files`

/** Objects when $Bitmap has a cluster of the file as free. Bad clusters may be either, since nobody reads them. */
function objectToFree(candidate: Candidate, used: ClusterBitmap): void {
  if (candidate.reason === 'bad-clusters') return
  for (const { lcn, length } of candidate.runs.allocated()) {
    const [from, to] = [Math.max(lcn, used.first), Math.min(lcn + length, used.end)]
    const free = used.nextFree(from, to)
    if (free < to) candidate.objection ??= `owns cluster ${free}, which is marked free in $Bitmap`
  }
}

function windowsOf(clusterCount: number): Window[] {
  const windows: Window[] = []
  for (let first = 0; first < clusterCount; first += WINDOW_CLUSTERS) {
    windows.push({ first, end: Math.min(first + WINDOW_CLUSTERS, clusterCount), needsRecords: false })
  }
  return windows
}
