/** What a benchmark is told. */
export interface Settings {
  /** The program as it is installed. */
  readonly vhdx: string
  /** Where a disk is kept or an output written. */
  readonly path: (name: string) => string
  /** Bytes of files on the disk that is captured and listed, as the user gave it. */
  readonly data: string
  readonly files: number
  readonly rounds: number
  /** Whether there is room for files of 15 TB with holes. */
  readonly huge: boolean
}
