/** What is worth knowing of an image to who examines it, and not to who wants what is in it. */
import type { Finding } from '../finding.ts'
import { HABITS } from '../vhdx/rules.ts'

/** Whether `finding` is about the form of an image alone: the program that wrote it has a habit that no reader minds. */
export const isFormality = ({ code }: Finding): boolean => HABITS.has(code)
