/** Types for fs-ext 2.1, which ships none. Only what native.ts uses. */
declare module 'fs-ext' {
  export interface FileSystemStatus {
    /** Bytes of the unit that the counts below are in. */
    readonly f_frsize: number
    readonly f_blocks: number
    /** Free, for a user without privileges. */
    readonly f_bavail: number
  }

  const fsExt: {
    flockSync(fd: number, flags: 'shnb' | 'exnb' | 'un'): void
    /** The new offset of `fd`. `whence`: 3 SEEK_DATA, 4 SEEK_HOLE. */
    seekSync(fd: number, position: number, whence: number): number
    statVFS(path: string): FileSystemStatus
  }
  export default fsExt
}
