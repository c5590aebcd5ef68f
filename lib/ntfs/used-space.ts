/** Which clusters of a volume a copy needs. spec-notes/ntfs.md, Used space. */
import { mergeTouching, type Range } from '../device/ranges.ts'
import type { UsedSpace, UsedSpaceOptions } from '../volume/volume.ts'
import type { AttributeReader } from './attribute-reader.ts'
import { ClusterBitmap, WINDOW_CLUSTERS } from './cluster-bitmap.ts'
import { FindingTally } from './finding-tally.ts'
import type { Mft } from './mft.ts'
import { OwnedClusters, type OwnershipProblems } from './owned-clusters.ts'

/** Clusters `first` to `end`, and what the survey learned of them. */
interface Window {
  readonly first: number
  readonly end: number
  /** Whether records own clusters that $Bitmap has as free, so that $Bitmap alone is not enough. */
  needsRecords: boolean
}

/** Surveys the volume of `mft` and `bitmap`, the content of $Bitmap. Throws the signal's reason when it is aborted. */
export async function surveyUsedSpace(
  mft: Mft,
  bitmap: AttributeReader,
  { signal }: UsedSpaceOptions,
): Promise<UsedSpace> {
  const { clusterSize, clusterCount } = mft.geometry
  const windows = windowsOf(clusterCount)
  const tally = new FindingTally()
  const capacity = Math.min(clusterCount, WINDOW_CLUSTERS)
  const [used, owned] = [new ClusterBitmap(capacity), new ClusterBitmap(capacity)]
  let [usedCount, copiedCount] = [0, 0]
  for (const window of windows) {
    await readBitmap(bitmap, used, window)
    usedCount += used.count()
    await readOwned(mft, used, owned, window, problemsOf(tally, window), signal)
    const missing = owned.without(used, 1)
    window.needsRecords = missing.count > 0
    const leaked = used.without(owned, 5)
    if (leaked.count > 0) {
      tally.add(
        'NTFS_UNOWNED_CLUSTERS',
        count => `${count} clusters are marked used in $Bitmap, but no file owns them; they are copied`,
        leaked.clusters.map(cluster => `cluster ${cluster}`),
        leaked.count,
      )
    }
    used.add(owned)
    copiedCount += used.count()
  }
  const tail: Range = { offset: clusterCount * clusterSize, length: mft.volume.size - clusterCount * clusterSize }

  async function* ranges(): AsyncIterable<Range> {
    const used = new ClusterBitmap(capacity)
    for (const window of windows) {
      await readBitmap(bitmap, used, window)
      if (window.needsRecords) {
        const owned = new ClusterBitmap(capacity)
        await readOwned(mft, used, owned, window, NO_PROBLEMS)
        used.add(owned)
      }
      for (let from = used.nextUsed(window.first, window.end); from < window.end; ) {
        const to = used.nextFree(from, window.end)
        yield { offset: from * clusterSize, length: (to - from) * clusterSize }
        from = used.nextUsed(to, window.end)
      }
    }
    yield tail
  }

  return {
    usedBytes: copiedCount * clusterSize + tail.length,
    clusters: { size: clusterSize, total: clusterCount, used: usedCount },
    leftOut: [],
    patches: [],
    findings: tally.findings(),
    ranges: () => mergeTouching(ranges()),
  }
}

function windowsOf(clusterCount: number): Window[] {
  const windows: Window[] = []
  for (let first = 0; first < clusterCount; first += WINDOW_CLUSTERS) {
    windows.push({ first, end: Math.min(first + WINDOW_CLUSTERS, clusterCount), needsRecords: false })
  }
  return windows
}

async function readBitmap(content: AttributeReader, used: ClusterBitmap, { first, end }: Window): Promise<void> {
  used.moveTo(first, end)
  await content.read(first / 8, used.bytes)
  used.trim()
}

async function readOwned(
  mft: Mft,
  used: ClusterBitmap,
  owned: ClusterBitmap,
  { first, end }: Window,
  problems: OwnershipProblems,
  signal?: AbortSignal,
): Promise<void> {
  owned.moveTo(first, end)
  await new OwnedClusters(mft, owned, used, problems).scan(signal)
}

const NO_PROBLEMS: OwnershipProblems = { damaged() {}, free() {}, shared() {} }

function problemsOf(tally: FindingTally, window: Window): OwnershipProblems {
  return {
    damaged(record, problem) {
      if (window.first > 0) return
      tally.add('NTFS_DAMAGED_RECORDS', count => `${count} file records are damaged`, [`record ${record}: ${problem}`])
    },
    free(record, cluster) {
      tally.add(
        'NTFS_OWNED_BUT_FREE',
        count => `${count} runs of clusters belong to files, but are marked free in $Bitmap; they are copied`,
        [`cluster ${cluster} of record ${record}`],
      )
    },
    shared(record, from, to) {
      tally.add('NTFS_CROSS_LINKED', count => `${count} runs of clusters belong to more than one file`, [
        `clusters ${from} to ${to - 1} of record ${record}`,
      ])
    },
  }
}
