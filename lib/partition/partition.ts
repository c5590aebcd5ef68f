/** What a partition table says, whichever kind it is. */
import type { Range } from '../device/ranges.ts'
import type { Finding } from '../finding.ts'

/**
 * The most partitions a table may list: the numbers Linux has for them, twice what Windows makes. Each may hold a file
 * system to survey. spec-notes/partition-tables.md, "Bounds".
 */
export const MAX_PARTITIONS = 255

/** A part of a disk, as its partition table says. */
export interface Partition {
  /** As Linux counts: MBR primaries 1 to 4 by slot, logical ones from 5 along the chain; GPT by slot from 1. */
  readonly number: number
  /** Bytes from the start of the disk. */
  readonly offset: number
  /** Bytes. */
  readonly size: number
  /** A GUID on GPT, `0x07` on MBR. */
  readonly typeId: string
  /** `Microsoft basic data`, `EFI system` ...; `unknown type` where nobody here knows it. */
  readonly typeName: string
  /** GPT only, and only where there is one. */
  readonly name?: string
  /** GPT partition GUID, or on MBR the disk signature and the number, `1a2b3c4d-01`, as Linux writes a PARTUUID. */
  readonly id?: string
  /** MBR only: marked as the one to boot from. */
  readonly active?: boolean
  /** GPT only. */
  readonly attributes?: bigint
}

/** What `readPartitionTable` found. */
export interface PartitionTable {
  /** 'none': nothing here is a partition table, so the disk is one bare volume, or empty. */
  readonly type: 'gpt' | 'mbr' | 'none'
  /** Bytes of the sectors the table counts in. */
  readonly sectorSize: number
  /** GPT disk GUID, or MBR disk signature as 8 hex digits. */
  readonly diskId: string | undefined
  /** By offset. An extended partition is a container, not listed. */
  readonly partitions: readonly Partition[]
  /** Every structure of the table, in order and merged: LBA 0, both GPT headers and entry arrays, EBRs. */
  readonly tables: readonly Range[]
  readonly findings: readonly Finding[]
  /** GPT only: the MBR lists partitions of its own beside the protective one. */
  readonly hybrid?: boolean
}

/** A partition as its table says it, in sectors, not yet held against the disk. */
export interface TableEntry {
  readonly number: number
  readonly firstLba: number
  readonly sectorCount: number
  /** Absolute byte of the entry, for errors. */
  readonly position: number
  readonly typeId: string
  readonly id?: string
  readonly name?: string
  readonly active?: boolean
  readonly attributes?: bigint
}
