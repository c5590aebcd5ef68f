/** What repair does about each rule of rules.ts, and the words for what it does not do. */
import { type DiskImageError, formatError, UnsupportedError } from '../errors.ts'
import { type Breach, type Problem, RULES, type RuleCode } from './rules.ts'

/**
 * mended: nothing is lost. dropped: what cannot be read is given up and told. refused: nothing is written. left: it does
 * not hinder anything else, and is for another command or for nobody to change.
 */
export type Fate = 'mended' | 'dropped' | 'refused' | 'left'

interface Repair {
  readonly fate: Fate
  /** What is done; for what is refused or left, why, and what can be done instead. */
  readonly words: string
}

const mended = (words: string): Repair => ({ fate: 'mended', words })
const dropped = (words: string): Repair => ({ fate: 'dropped', words })
const refused = (words: string): Repair => ({ fate: 'refused', words })
const left = (words: string): Repair => ({ fate: 'left', words })

const NOWHERE_ELSE = 'Nothing else in the file says it: restore the file from a copy'
const NEWER = 'Open it with the program that made it'
const RELINK = 'Set the parent anew: vhdx relink'
const BLOCK_LOST = 'the block is lost, and UNDEFINED from then on'

export const REPAIRS: Readonly<Record<RuleCode, Repair>> = {
  TRUNCATED: refused(NOWHERE_ELSE),
  NUMBER_TOO_LARGE: refused(NOWHERE_ELSE),

  IDENTIFIER_SIGNATURE: mended('it is written anew, where headers and region tables are those of a VHDX'),

  HEADER_COPY_BAD: mended('it is written anew from the other'),
  HEADER_NONE: mended('both are written anew from what the bad ones agree on, or from a log that changes nothing'),
  HEADER_TIE: mended('both are written anew, where they are alike but for the time of writing, or from the chosen one'),
  HEADER_TWINS: mended('they get two numbers'),
  HEADER_VERSION: refused(NEWER),
  HEADER_LOG_VERSION: refused(NEWER),
  HEADER_LOG_PLACE: mended('a log that is clean gets another place'),

  LOG_DIRTY: mended('it is replayed'),
  LOG_NO_SEQUENCE: refused('What the log should have repaired is lost'),
  LOG_FILE_TRUNCATED: mended('it is replayed, and what lay behind the end is lost'),
  LOG_TARGET: refused('No program logs such writes'),
  LOG_TOO_LARGE: refused('Attach the file read-write in Windows once, which replays the log'),

  REGION_TABLE_COPY_BAD: mended('it is written anew from the other'),
  REGION_TABLE_NONE: mended('both are written anew, where the bad ones agree'),
  REGION_TABLE_COPIES_DIFFER: mended(
    'the second is written anew from the first, or the other way where only it can be read',
  ),
  REGION_COUNT: refused(NOWHERE_ELSE),
  REGION_DUPLICATE: mended('the one that is no such region is taken out'),
  REGION_PLACE: mended('a wrong length becomes what the region needs'),
  REGION_OVERLAP: mended('a log that is clean gets another place'),
  REGION_BEYOND_END: dropped('an unknown region is taken out; of a BAT that is cut the blocks behind the cut are lost'),
  REGION_UNKNOWN_REQUIRED: refused(NEWER),
  REGION_NOT_REQUIRED: mended('it is marked as required'),
  REGION_MISSING: refused(NOWHERE_ELSE),
  BAT_TOO_SMALL: refused('Either the size of the disk is wrong or that of the BAT, and nothing says which'),

  METADATA_SIGNATURE: refused(NOWHERE_ELSE),
  METADATA_COUNT: refused(NOWHERE_ELSE),
  METADATA_USER_COUNT: dropped('the items behind the first 1024 are taken out'),
  METADATA_ITEM_PLACE: dropped(
    'an item that is not needed is taken out; disk id and physical sector size are made anew',
  ),
  METADATA_OVERLAP: mended('an item gets a place of its own, but for those that say where things are'),
  METADATA_DUPLICATE: dropped('the later one is taken out, unless both could be meant'),
  METADATA_UNKNOWN_REQUIRED: refused(NEWER),
  METADATA_MISSING: mended('disk id and physical sector size are made anew'),
  METADATA_ITEM_SIZE: mended('disk id and physical sector size are made anew'),
  METADATA_FLAGS: mended('they become those of the specification'),
  FILE_INCOMPLETE: refused('The program that wrote the file did not finish: make it again'),
  BLOCK_SIZE: refused(NOWHERE_ELSE),
  VIRTUAL_SIZE: refused(NOWHERE_ELSE),
  SECTOR_SIZE: mended('a wrong physical sector size becomes 4096'),
  SECTOR_SIZE_MIX: left('It can be read as it is'),

  PARENT_NOT_OPENED: left('vhdx chain looks at the parent'),
  PARENT_SECTOR_SIZE: left('This is not the parent it was made from: look for another copy'),
  PARENT_SIZE: left('What the parent does not have reads as zeros'),
  PARENT_LOCATOR_MISSING: left(RELINK),
  PARENT_LOCATOR_TYPE: left(NEWER),
  PARENT_LOCATOR_ENTRY: left(RELINK),
  PARENT_LINKAGE: left(RELINK),
  PARENT_LINKAGE2: left('A merge into the parent was under way: finish it'),
  PARENT_PATHS: left(RELINK),

  BAT_STATE: dropped(BLOCK_LOST),
  BAT_RESERVED_BITS: dropped(BLOCK_LOST),
  BAT_PARTIAL: dropped(BLOCK_LOST),
  BAT_PARTIAL_NO_BITMAP: dropped('the blocks of the chunk that need the bitmap are lost, and UNDEFINED from then on'),
  BAT_BITMAP_STATE: dropped('the bitmap is taken out, and the blocks that need it are lost'),
  BAT_BITMAP_PRESENT: mended('the entry is cleared'),
  BAT_OVERLAP: mended('each block gets a place of its own with what is there: which of them it belongs to is not sure'),
  BAT_ON_STRUCTURE: dropped(BLOCK_LOST),
  BAT_BEYOND_END: dropped('what of the block lay behind the end is lost'),
  BAT_ZERO_WITH_PLACE: mended('the place is cleared'),
  BAT_ABSENT_WITH_PLACE: mended('the place is cleared'),
  FIXED_NOT_ALLOCATED: mended('the image is dynamic from then on'),

  FILE_ODD_LENGTH: mended('the file is cut or gets zeros, to a whole MiB'),
  FILE_TRAILING_SPACE: mended('it is cut off'),
  FILE_SPARSE: mended('the holes are written, as zeros, where there is room for them'),
}

/** Something that was put right (mended), or given up (dropped). */
export interface RepairStep {
  readonly code: RuleCode
  readonly fate: 'mended' | 'dropped'
  readonly message: string
}

/** That the rule `code`, broken as `message` says, was dealt with: as the table says, or as `words` do. */
export const repairStep = (code: RuleCode, message: string, words = REPAIRS[code].words): RepairStep => ({
  code,
  fate: REPAIRS[code].fate === 'mended' ? 'mended' : 'dropped',
  message: `${message}: ${words}`,
})

export const stepOf = ({ code, message }: Problem): RepairStep => repairStep(code, message)

/** Why an image with `problem` is not repaired. `advice`: what can be done, where the table says too little. */
export function refusal({ code, message, details }: Problem, advice = ''): DiskImageError {
  const why = [REPAIRS[code].fate === 'refused' ? REPAIRS[code].words : '', advice]
    .filter(text => text !== '')
    .join('. ')
  if ('unsupported' in RULES[code]) return new UnsupportedError(code, `${message}. ${why}`, { ...details, advice: why })
  return formatError(code, { ...(details as unknown as Breach), advice: why })
}
