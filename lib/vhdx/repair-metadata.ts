/** The metadata of a repaired image, [MS-VHDX] 2.6: what can be done without is taken out or made anew. */
import type { BlockDevice } from '../device/block-device.ts'
import { intersect, type Range } from '../device/ranges.ts'
import type { Finding } from '../finding.ts'
import {
  FILE_PARAMETERS,
  fileParameters,
  HAS_PARENT,
  IS_REQUIRED,
  LOGICAL_SECTOR_SIZE,
  MAX_USER_METADATA_ENTRIES,
  metadataEntry,
  metadataTableHeader,
  PARENT_LOCATOR,
  PHYSICAL_SECTOR_SIZE,
  physicalSectorSize,
  VIRTUAL_DISK_ID,
  VIRTUAL_DISK_SIZE,
  virtualDiskId,
} from './format.ts'
import { type Geometry, geometryOf } from './layout.ts'
import { findItem, knownFlags, type Metadata, readMetadataRegion } from './metadata.ts'
import type { MetadataItem } from './metadata-table.ts'
import { flagsOf, MetadataWriter } from './metadata-writer.ts'
import { RepairedFile } from './repaired-file.ts'
import { type RepairStep, refusal, stepOf } from './repairs.ts'
import type { Problem, RuleCode } from './rules.ts'
import { StructureReader } from './structure-reader.ts'
import type { ItemContent } from './virtual-disk-items.ts'

export interface MetadataRepair {
  readonly metadata: Metadata
  readonly geometry: Geometry
  /** New bytes of the region, to be put one after the other. */
  readonly patches: readonly { readonly position: number; readonly bytes: Buffer }[]
  readonly steps: readonly RepairStep[]
  readonly findings: readonly Finding[]
}

const REFUSED: readonly RuleCode[] = [
  'TRUNCATED',
  'METADATA_SIGNATURE',
  'METADATA_COUNT',
  'METADATA_UNKNOWN_REQUIRED',
  'FILE_INCOMPLETE',
  'NUMBER_TOO_LARGE',
  'BLOCK_SIZE',
  'VIRTUAL_SIZE',
]

/** Items that say where on the disk a block lies: nothing can stand in for them. */
const ESSENTIAL = [FILE_PARAMETERS, VIRTUAL_DISK_SIZE, LOGICAL_SECTOR_SIZE]

/** What Windows gives to new disks. */
const PHYSICAL_SECTOR = {
  itemId: PHYSICAL_SECTOR_SIZE,
  data: physicalSectorSize.toBuffer({ physicalSectorSize: 4096 }),
}

/** Throws FormatError and UnsupportedError with the code of the rule that keeps the region from being put right. */
export async function repairMetadata(content: BlockDevice, region: Range): Promise<MetadataRepair> {
  const reader = new StructureReader(content)
  const { items } = await readMetadataRegion(reader, region)
  const { problems } = reader
  const hindrance = problems.find(({ code }) => REFUSED.includes(code))
  if (hindrance !== undefined) throw refusal(hindrance)
  const draft = new Draft(content, region, items, problems)
  await draft.repair()
  const patches = draft.patches()
  const trial = new RepairedFile(content)
  for (const { position, bytes } of patches) await trial.patch(position, bytes)
  const again = new StructureReader(trial)
  const { metadata } = await readMetadataRegion(again, region)
  if (metadata === undefined) throw refusal(again.problems.find(({ severity }) => severity === 'error')!)
  return { metadata, geometry: geometryOf(metadata), patches, steps: draft.steps, findings: draft.findings }
}

/** The items as they will be. */
class Draft {
  readonly steps: RepairStep[] = []
  readonly findings: Finding[] = []
  readonly #content: BlockDevice
  readonly #region: Range
  readonly #items: readonly MetadataItem[]
  readonly #problems: readonly Problem[]
  /** By the file parameters. */
  #hasParent = false
  /** Those that stay where they are. */
  readonly #kept: MetadataItem[] = []
  /** Those that are new, or get a place of their own. */
  readonly #set: ItemContent[] = []

  constructor(content: BlockDevice, region: Range, items: readonly MetadataItem[], problems: readonly Problem[]) {
    this.#content = content
    this.#region = region
    this.#items = items
    this.#problems = problems
  }

  async repair(): Promise<void> {
    const parameters = findItem(this.#items, FILE_PARAMETERS)
    if (parameters?.isPlaced && parameters.length === fileParameters.size) {
      const { flags } = fileParameters.decode(await this.#bytesOf(parameters))
      this.#hasParent = Math.floor(flags / HAS_PARENT) % 2 === 1
    }
    let userItems = 0
    for (const item of this.#items) {
      const problems = this.#problemsOf(item)
      const flags = problems.find(({ code }) => code === 'METADATA_FLAGS')
      if (flags !== undefined) this.steps.push(stepOf(flags))
      if (item.isUser && ++userItems > MAX_USER_METADATA_ENTRIES) continue
      if (await this.#isKept(item, problems)) this.#kept.push(flags === undefined ? item : withKnownFlags(item))
    }
    const tooMany = this.#problems.find(({ code }) => code === 'METADATA_USER_COUNT')
    if (tooMany !== undefined) this.steps.push(stepOf(tooMany))
    await this.#part()
    this.#replaceMissing()
  }

  patches(): { position: number; bytes: Buffer }[] {
    if (this.steps.length === 0) return []
    const { unnamed, named } = new MetadataWriter(this.#region, this.#kept).changes(this.#set, [])
    const position = this.#region.offset + metadataTableHeader.size
    const noEntries = { position, bytes: Buffer.alloc(this.#items.length * metadataEntry.size) }
    return [noEntries, ...unnamed, ...named]
  }

  #problemsOf({ position }: MetadataItem): Problem[] {
    return this.#problems.filter(
      problem => problem.position >= position && problem.position < position + metadataEntry.size,
    )
  }

  /** Whether `item` stays in the table, perhaps in another place. */
  async #isKept(item: MetadataItem, problems: readonly Problem[]): Promise<boolean> {
    const flaw = problems.find(({ code }) => code === 'METADATA_ITEM_PLACE' || code === 'METADATA_ITEM_SIZE')
    if (flaw !== undefined) {
      if (this.#isEssential(item)) throw refusal(flaw, 'What it said is lost: restore the file from a copy')
      this.steps.push(stepOf(flaw))
      // An empty item loses its place, and is none the worse for it.
      return item.length === 0
    }
    const twice = problems.find(({ code }) => code === 'METADATA_DUPLICATE')
    if (twice === undefined) return true
    const first = this.#items.find(({ itemId, isUser }) => itemId === item.itemId && isUser === item.isUser)!
    if (this.#isEssential(item) && (await this.#couldBeMeant(first, item))) {
      throw refusal(twice, 'They differ, and either could be meant')
    }
    this.steps.push(stepOf(twice))
    return false
  }

  /** Whether `second` says something else than `first` does, and it makes sense. */
  async #couldBeMeant(first: MetadataItem, second: MetadataItem): Promise<boolean> {
    if ((await this.#bytesOf(first)).equals(await this.#bytesOf(second))) return false
    const writer = new MetadataWriter(
      this.#region,
      this.#items.filter(item => item !== first),
    )
    const trial = new RepairedFile(this.#content)
    for (const { position, bytes } of writer.changes([], []).named) await trial.patch(position, bytes)
    return (await readMetadataRegion(new StructureReader(trial), this.#region)).metadata !== undefined
  }

  /** Gives items that lie in others places of their own, with what is there. */
  async #part(): Promise<void> {
    for (const overlap of this.#problems.filter(({ code }) => code === 'METADATA_OVERLAP')) {
      const item = this.#kept.find(item => this.#problemsOf(item).includes(overlap))
      if (item === undefined) continue
      const others = this.#kept.filter(other => other !== item && intersect(other, item) !== undefined)
      const moved = this.#isEssential(item) ? others : others.length > 0 ? [item] : []
      if (moved.some(other => this.#isEssential(other))) throw refusal(overlap, 'What they said is not sure')
      for (const each of moved) {
        this.#kept.splice(this.#kept.indexOf(each), 1)
        this.#set.push({ itemId: each.itemId, flags: flagsOf(each), data: await this.#bytesOf(each) })
      }
      this.steps.push(stepOf(overlap))
    }
  }

  /** Disk id and physical sector size, which nothing on the disk depends on. */
  #replaceMissing(): void {
    const isThere = (id: string) => findItem([...this.#kept], id) ?? this.#set.find(({ itemId }) => itemId === id)
    const missing = this.#problems.filter(({ code }) => code === 'METADATA_MISSING')
    for (const id of ESSENTIAL) if (!isThere(id)) throw refusal(missing[0]!, 'It is one that nothing can stand in for')
    this.steps.push(...missing.map(stepOf))
    if (!isThere(VIRTUAL_DISK_ID)) {
      const diskId = crypto.randomUUID()
      this.#set.push({
        itemId: VIRTUAL_DISK_ID,
        flags: knownFlags(VIRTUAL_DISK_ID),
        data: virtualDiskId.toBuffer({ virtualDiskId: diskId }),
      })
      const message = `the disk has a new identity, ${diskId}, for the old one is lost`
      this.findings.push({ code: 'NEW_DISK_ID', message })
    }
    const odd = this.#problems.filter(({ code }) => code === 'SECTOR_SIZE')
    const bad = odd.find(({ details }) => details?.structure !== physicalSectorSize.name)
    if (bad !== undefined) throw refusal(bad, 'Where blocks lie depends on it: restore the file from a copy')
    this.steps.push(...odd.map(stepOf))
    if (odd.length === 0 && isThere(PHYSICAL_SECTOR_SIZE)) return
    const index = this.#set.findIndex(({ itemId }) => itemId === PHYSICAL_SECTOR_SIZE)
    if (index >= 0) this.#set.splice(index, 1)
    this.#set.push({ ...PHYSICAL_SECTOR, flags: knownFlags(PHYSICAL_SECTOR_SIZE) })
  }

  #isEssential({ itemId, isUser }: MetadataItem): boolean {
    if (isUser) return false
    return ESSENTIAL.includes(itemId) || (itemId === PARENT_LOCATOR && this.#hasParent)
  }

  async #bytesOf(item: MetadataItem): Promise<Buffer> {
    const bytes = Buffer.alloc(item.length)
    await this.#content.read(item.offset, bytes)
    return bytes
  }
}

/** All items that the specification knows are required. */
const withKnownFlags = (item: MetadataItem): MetadataItem => ({
  ...item,
  isRequired: true,
  isVirtualDisk: knownFlags(item.itemId) !== IS_REQUIRED,
})
