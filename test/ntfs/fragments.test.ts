/** Pieces of Windows' own volumes: boot sectors, and a $MFT without the rest. What is expected was found by another program. */
import { readFile } from 'node:fs/promises'
import { expect } from 'vitest'
import { type Geometry, isNtfs, readBootSector } from '../../lib/ntfs/boot-sector.ts'
import { ClusterBitmap } from '../../lib/ntfs/cluster-bitmap.ts'
import { DirectoryPaths } from '../../lib/ntfs/directory-paths.ts'
import { type FileRecord, unnamed } from '../../lib/ntfs/file-record.ts'
import { AttributeType, SystemRecord } from '../../lib/ntfs/format.ts'
import { Mft } from '../../lib/ntfs/mft.ts'
import { NtfsFile } from '../../lib/ntfs/ntfs-file.ts'
import { markOwned } from '../../lib/ntfs/owned-clusters.ts'
import { OwnedRuns } from '../../lib/ntfs/owned-runs.ts'
import { recordsInUse } from '../../lib/ntfs/record-scan.ts'
import { corpusImage } from '../helpers/corpus.ts'
import { testWith } from '../helpers/tools.ts'
import { VastDevice } from '../helpers/vast-device.ts'

const BOOT_SECTORS: Record<string, Partial<Geometry>> = {
  'dfir_ntfs/64k.boot': {
    clusterSize: 64 * 1024,
    sectorSize: 512,
    totalSectors: 67102719,
    mftLcn: 49152,
    mftMirrLcn: 1,
    recordSize: 1024,
    indexBlockSize: 4096,
    serial: 0xa8a66d90a66d6034n,
  },
  'dfir_ntfs/128k.boot': { clusterSize: 128 * 1024, totalSectors: 67102719, mftLcn: 24576, recordSize: 1024 },
  'dfir_ntfs/4kn.boot': {
    clusterSize: 4096,
    sectorSize: 4096,
    clusterCount: 14335,
    mftLcn: 4778,
    recordSize: 4096,
    indexBlockSize: 4096,
  },
  'dissect.ntfs/boot_2m.bin': { clusterSize: 2 * 1024 ** 2, clusterCount: 510, mftLcn: 170, recordSize: 1024 },
}

for (const [name, expected] of Object.entries(BOOT_SECTORS)) {
  testWith(['corpus', 'tar', 'xz'], name, async () => {
    const bytes = await readFile(await corpusImage(`ntfs-fragments/${name}`).unpack())
    expect(isNtfs(bytes)).toBe(true)
    expect(readBootSector(bytes)).toMatchObject(expected)
  })
}

const TABLES = {
  'dfir_ntfs/mapping_pairs_1.mft': { lcn: 682, clusters: 2047, inUse: 41, owned: 1203 },
  'dfir_ntfs/compressed_sparse.mft': { lcn: 87125, clusters: 261375, inUse: 36, owned: 3307 },
  // A system volume of Windows 7: 60,416 records, 34 of them extensions, 47,510 runs.
  'dfir-orc/mft_win7': { lcn: 786432, clusters: 652096 * 8, inUse: 59579, owned: 2234328 },
}

for (const [name, { lcn, clusters, inUse, owned }] of Object.entries(TABLES)) {
  testWith(['corpus', 'tar', 'xz'], name, async () => {
    const volume = new VastDevice(clusters * 4096)
    await volume.write(lcn * 4096, await readFile(await corpusImage(`ntfs-fragments/${name}`).unpack()))
    const geometry: Geometry = {
      sectorSize: 512,
      clusterSize: 4096,
      clusterCount: clusters,
      totalSectors: clusters * 8,
      mftLcn: lcn,
      mftMirrLcn: 2,
      recordSize: 1024,
      indexBlockSize: 4096,
      serial: 0n,
    }
    const problems: string[] = []
    const mft = await Mft.open(volume, geometry, [])
    let found = 0
    for await (const piece of mft.pieces()) {
      for (const _ of recordsInUse(piece, 1024, (_, problem) => problems.push(problem))) found++
    }
    expect(found).toBe(inUse)

    const [used, own] = [new ClusterBitmap(clusters), new ClusterBitmap(clusters)]
    used.moveTo(0, clusters)
    used.set(0, clusters)
    own.moveTo(0, clusters)
    const onDamage = (record: number, problem: string) => problems.push(`${record} ${problem}`)
    const shared = (record: number) => problems.push(`${record} shares clusters`)
    await markOwned(new OwnedRuns(mft, false, onDamage), own, used, { free() {}, shared })
    expect(problems).toEqual([])
    expect(await lostFiles(mft)).toEqual([])
    expect(used.merge(own, 0)).toMatchObject({ mine: clusters, onlyMine: clusters - owned, onlyOther: 0 })
  })
}

/** Whether the record has an attribute list that lies in clusters, which are not among the pieces. */
const hasListElsewhere = (record: FileRecord) => unnamed(record, AttributeType.attributeList)?.resident === false

/** Records of files whose directory cannot be told. */
async function lostFiles(mft: Mft): Promise<number[]> {
  const paths = new DirectoryPaths(mft)
  const lost: number[] = []
  for (let number = SystemRecord.firstUser; number < mft.recordCount; number++) {
    const record = await mft.record({ record: number, sequence: 0 }).catch(() => undefined)
    if (record === undefined || record.base !== undefined || hasListElsewhere(record)) continue
    if ((await paths.pathOfFile(await NtfsFile.open(mft, { record: number, sequence: 0 }))) === undefined)
      lost.push(number)
  }
  return lost
}
