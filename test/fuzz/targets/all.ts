/** All targets there are. */
import type { Target } from '../target.ts'
import { codecs } from './codecs.ts'
import { exfat } from './exfat.ts'
import { fat } from './fat.ts'
import { gpt } from './gpt.ts'
import { mbr } from './mbr.ts'
import { ntfs } from './ntfs.ts'
import { repairs } from './repair.ts'
import { vhd } from './vhd.ts'
import { vhdx } from './vhdx.ts'
import { vhdxWriting } from './vhdx-writing.ts'

export const targets: readonly Target[] = [vhdx, vhdxWriting, repairs, vhd, gpt, mbr, ntfs, fat, exfat, ...codecs]
