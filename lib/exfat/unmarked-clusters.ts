/** Clusters that hold something though the allocation bitmap has them as free. spec-notes/exfat.md, "Allocation bitmap". */
import { normalizeRanges, type Range, totalLength } from '../device/ranges.ts'
import type { Finding } from '../finding.ts'
import type { ClusterChain } from '../volume/cluster-chain.ts'
import type { AllocationBitmap } from './allocation-bitmap.ts'
import type { ExfatFiles } from './exfat-files.ts'
import { clusterOffset, type ExfatLayout, heapEnd } from './layout.ts'

/** Pieces that are remembered. */
const MAX_PIECES = 2 ** 18
/** How often all clusters may be gone over: once in a sound volume, in which nothing is shared. */
const ROUNDS = 8

/** What the bitmap lost. */
export interface UnmarkedClusters {
  /** Bytes of the volume, in order, not touching each other. */
  readonly ranges: readonly Range[]
  /** Also what was noticed in directories on the way: what is in one that cannot be read is not known to be used. */
  readonly findings: readonly Finding[]
}

/** Goes over all that `files` can read. Throws the signal's reason when it is aborted, StorageError (DEVICE_GONE). */
export async function findUnmarked(
  files: ExfatFiles,
  bitmap: AllocationBitmap,
  layout: ExfatLayout,
  signal?: AbortSignal,
): Promise<UnmarkedClusters> {
  const { clusterSize, clusterCount, heapOffset } = layout
  const most = ROUNDS * clusterCount
  const told = files.findings.length
  let pieces: Range[] = []
  let walked = 0
  let owner: string | undefined
  const look = async (path: string, chain: ClusterChain) => {
    walked += chain.count
    for await (const run of chain.runs()) {
      for await (const { first, count } of bitmap.freeRuns(run)) {
        owner ??= path
        pieces.push({ offset: clusterOffset(layout, first), length: count * clusterSize })
        if (pieces.length <= MAX_PIECES) continue
        pieces = normalizeRanges(pieces)
        // Else they would be sorted again and again.
        if (pieces.length > MAX_PIECES / 2) return false
      }
    }
    return walked <= most
  }
  let isKnown = await look('the allocation bitmap itself', bitmap.chain)
  for await (const { path, chain } of files.owners(signal)) {
    if (!isKnown) break
    isKnown = await look(path, chain)
  }
  if (!isKnown) {
    const heap = { offset: heapOffset, length: heapEnd(layout) - heapOffset }
    return { ranges: [heap], findings: [...files.findings.slice(told), tooManyOwners] }
  }
  const ranges = normalizeRanges(pieces)
  const findings = owner === undefined ? [] : [ownedButFree(totalLength(ranges) / clusterSize, owner)]
  return { ranges, findings: [...files.findings.slice(told), ...findings] }
}

const ownedButFree = (clusters: number, owner: string): Finding => ({
  code: 'EXFAT_OWNED_BUT_FREE',
  message: `${clusters} clusters that belong to files are marked as free in the allocation bitmap, and are copied; the first ones belong to ${owner}`,
  details: { clusters, owner },
})

const tooManyOwners: Finding = {
  code: 'EXFAT_USED_UNKNOWN',
  message:
    'the allocation bitmap has clusters as free that belong to files, or files share clusters, so often that it is not known which are used: all are copied',
}
