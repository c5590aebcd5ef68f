/** Which clusters of a window the files own, and what is odd about that. spec-notes/ntfs.md, Used space. */
import type { ClusterBitmap } from './cluster-bitmap.ts'
import type { OwnedRuns } from './owned-runs.ts'

/** What is told of clusters that are not as they should be. */
export interface OwnershipProblems {
  /** `record` owns `cluster`, which $Bitmap has as free. Told once for each run. */
  free(record: number, cluster: number): void
  /** Of the clusters `from` to `to`, which `record` owns, some are owned a second time. */
  shared(record: number, from: number, to: number): void
}

/**
 * Sets in `owned` what `runs` own of its window. `used`, at the same window, is what $Bitmap says.
 *
 * Where more clusters are in runs that share some than the window has, the records cannot be believed, and each could
 * own the whole volume over and over: then all of the window counts as owned, and that is the end of it.
 */
export async function markOwned(
  runs: OwnedRuns,
  owned: ClusterBitmap,
  used: ClusterBitmap,
  problems: OwnershipProblems,
  signal?: AbortSignal,
): Promise<void> {
  let believed = owned.end - owned.first
  await runs.forEach((lcn, length, record) => {
    const start = Math.max(lcn, owned.first)
    const end = Math.min(lcn + length, owned.end)
    if (start >= end || believed < 0) return
    const free = used.nextFree(start, end)
    if (free < end) problems.free(record, free)
    if (owned.nextUsed(start, end) < end) {
      problems.shared(record, start, end)
      believed -= end - start
    }
    owned.set(start, end)
  }, signal)
  if (believed < 0) owned.set(owned.first, owned.end)
}
