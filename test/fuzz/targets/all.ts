/** All targets there are. */
import type { Target } from '../target.ts'
import { gpt } from './gpt.ts'
import { mbr } from './mbr.ts'
import { vhdx } from './vhdx.ts'

export const targets: readonly Target[] = [vhdx, gpt, mbr]
