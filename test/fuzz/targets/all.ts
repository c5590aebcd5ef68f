/** All targets there are. */
import type { Target } from '../target.ts'
import { codecs } from './codecs.ts'
import { exfat } from './exfat.ts'
import { fat } from './fat.ts'
import { gpt } from './gpt.ts'
import { mbr } from './mbr.ts'
import { ntfs } from './ntfs.ts'
import { vhd } from './vhd.ts'
import { vhdx } from './vhdx.ts'

export const targets: readonly Target[] = [vhdx, vhd, gpt, mbr, ntfs, fat, exfat, ...codecs]
