/** What `inspect` shows, as it is put together: structures in order, each with the problems that lie in it. */
import type { BlockDevice } from '../device/block-device.ts'
import { endOf, type Range } from '../device/ranges.ts'
import { ReplayedFile } from './replayed-file.ts'
import type { FieldValue, InspectedField, InspectedStructure } from './structure-view.ts'
import type { VhdxStructures } from './structures.ts'

export type Facts = readonly (readonly [name: string, value: FieldValue])[]

export class StructureSheet {
  readonly shown: InspectedStructure[] = []
  readonly structures: VhdxStructures
  /** The file with its log replayed, if it has to be. */
  readonly file: BlockDevice

  constructor(structures: VhdxStructures) {
    this.structures = structures
    this.file = structures.file
  }

  /** `fields` is undefined where the file ends before the structure does. */
  show(name: string, position: number, size: number, fields?: readonly InspectedField[], status?: string): void {
    const problems = this.structures.problems.filter(
      problem => problem.position >= position && problem.position < position + size,
    )
    const known = fields === undefined ? 'beyond the end of the file' : status
    const isReplayed = this.file instanceof ReplayedFile && this.file.isReplayed({ offset: position, length: size })
    const words = [known, isReplayed ? 'after replay of the log' : undefined].filter(word => word !== undefined)
    const said = words.length > 0 ? { status: words.join(', ') } : {}
    this.shown.push({ name, position, size, ...said, fields: fields ?? [], problems })
  }

  /** Shows what is no structure of its own: facts about `range`. */
  facts(name: string, { offset, length }: Range, facts: Facts, status?: string): void {
    const fields = facts.map(([name, value]) => ({ name, value, position: offset }))
    this.show(name, offset, length, fields, status)
  }

  /** The caller bounds the length. */
  async bytes(range: Range): Promise<Buffer | undefined> {
    if (endOf(range) > this.file.size) return undefined
    const bytes = Buffer.alloc(range.length)
    await this.file.read(range.offset, bytes)
    return bytes
  }
}
