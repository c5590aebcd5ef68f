/** What an image need not hold although a file system uses it. */

/** Why a file's content can be left out: one of four kinds that Windows makes anew, or the user's word. */
export const LEFT_OUT_REASONS = ['pagefile', 'hiberfil', 'swapfile', 'shadow-copies', 'excluded'] as const
/** One of `LEFT_OUT_REASONS`. */
export type LeftOutReason = (typeof LEFT_OUT_REASONS)[number]

/** A file whose content an image need not hold. It stays as a file and reads as zeros. */
export interface LeftOut {
  /** Path in the volume with backslashes, such as `\pagefile.sys`. */
  readonly path: string
  /** Which rule left it out. */
  readonly reason: LeftOutReason
  /** Bytes of clusters left out. */
  readonly bytes: number
  readonly clusters: number
  /** The file's record number, where the file system has them. */
  readonly record?: number
}
