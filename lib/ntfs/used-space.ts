/** What of a volume a copy needs. spec-notes/ntfs.md, Used space. */
import type { Range } from '../device/ranges.ts'
import type { Finding } from '../finding.ts'
import type { LeftOut } from '../volume/left-out.ts'
import type { Patch, UsedSpace, UsedSpaceOptions } from '../volume/volume.ts'
import { openBitmap } from './bitmap-content.ts'
import type { Candidate } from './candidate.ts'
import { ClusterSurvey } from './cluster-survey.ts'
import { copied, findCandidates, NOT_LEFT_OUT, settleShadowCopies } from './exclusions.ts'
import type { FileTree } from './file-tree.ts'
import { FindingTally } from './finding-tally.ts'
import type { Mft } from './mft.ts'

/**
 * Surveys the volume of `mft`. What $Bitmap does not tell is used. Throws the signal's reason when it is aborted. `tree` is
 * undefined where names cannot be looked up; then nothing is left out.
 */
export async function surveyUsedSpace(
  mft: Mft,
  tree: FileTree | undefined,
  options: UsedSpaceOptions,
): Promise<UsedSpace> {
  const findings: Finding[] = []
  const candidates = tree === undefined ? [] : await findCandidates(tree, options, findings)
  const survey = new ClusterSurvey(mft, await openBitmap(mft), candidates)
  findings.push(...(await survey.run(options.signal)))
  const patches = await settleShadowCopies(mft.volume, mft.geometry.clusterSize, candidates)
  findings.push(...(await objectionsOf(candidates)))
  const leftOut = candidates.filter(({ objection }) => objection === undefined)
  for (const { reason, runs } of leftOut) {
    if (reason !== 'bad-clusters') continue
    const [count, [first]] = [runs.clusterCount, runs.allocated()]
    const message = `${count} clusters are marked bad, the first is ${first!.lcn}: they are not read and will be zeros`
    findings.push({ code: 'NTFS_BAD_CLUSTERS', message, details: { count } })
  }
  return new NtfsUsedSpace(mft, survey, leftOut, patches, findings)
}

/** What is copied against expectation: Windows' own files one by one, those of the user only counted. */
async function objectionsOf(candidates: readonly Candidate[]): Promise<Finding[]> {
  const findings: Finding[] = []
  const tally = new FindingTally()
  const told = (count: number) => `${count} of the files to exclude are copied`
  for (const { path, reason, objection } of candidates) {
    if (objection === undefined) continue
    if (reason === 'excluded') tally.add(NOT_LEFT_OUT, told, [() => `${path}, which ${objection}`])
    else findings.push(copied(path, objection))
  }
  return [...findings, ...(await tally.findings())]
}

class NtfsUsedSpace implements UsedSpace {
  readonly usedBytes: number
  readonly clusters: NonNullable<UsedSpace['clusters']>
  readonly leftOut: readonly LeftOut[]
  readonly patches: readonly Patch[]
  readonly findings: readonly Finding[]
  readonly #mft: Mft
  readonly #survey: ClusterSurvey
  readonly #leftOut: readonly Candidate[]

  constructor(mft: Mft, survey: ClusterSurvey, leftOut: Candidate[], patches: Patch[], findings: Finding[]) {
    const { clusterSize, clusterCount } = mft.geometry
    const left = leftOut.reduce((sum, { runs }) => sum + runs.clusterCount, 0)
    this.#mft = mft
    this.#survey = survey
    this.#leftOut = leftOut
    this.clusters = { size: clusterSize, total: clusterCount, used: survey.usedCount }
    this.usedBytes = (survey.neededCount - left) * clusterSize + this.#tail.length
    this.leftOut = leftOut.flatMap(({ path, reason, record, runs }) => {
      if (reason === 'bad-clusters') return []
      const clusters = runs.clusterCount
      return [{ path, reason, record, clusters, bytes: clusters * clusterSize }]
    })
    this.patches = patches
    this.findings = findings
  }

  /** Sectors after the last whole cluster, up to the end of the device: no bit of $Bitmap stands for them. */
  get #tail(): Range {
    const offset = this.#mft.geometry.clusterCount * this.#mft.geometry.clusterSize
    return { offset, length: this.#mft.volume.size - offset }
  }

  async *ranges(): AsyncGenerator<Range, void> {
    const { clusterSize } = this.#mft.geometry
    const used = this.#survey.newBitmap()
    let [start, end] = [0, 0]
    for (const window of this.#survey.windows) {
      await this.#survey.read(window, used)
      for (const { runs } of this.#leftOut) {
        for (const { lcn, length } of runs.allocated()) used.clear(lcn, lcn + length)
      }
      for (let from = used.nextUsed(window.first, window.end); from < window.end; ) {
        const to = used.nextFree(from, window.end)
        if (from > end) {
          if (end > start) yield { offset: start * clusterSize, length: (end - start) * clusterSize }
          start = from
        }
        end = to
        from = used.nextUsed(to, window.end)
      }
    }
    const [offset, stop, tail] = [start * clusterSize, end * clusterSize, this.#tail]
    if (stop < tail.offset) {
      if (stop > offset) yield { offset, length: stop - offset }
      if (tail.length > 0) yield tail
    } else yield { offset, length: stop + tail.length - offset }
  }
}
