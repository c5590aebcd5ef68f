/** The public API. Every name is listed, so that what is public is a decision. */

/** Sizes as people write and read them. */
export { formatSize, parseSize } from './binary/size.ts'
/** Disks, parts of disks, files: one contract. */
export { BlockDevice, type ByteSource } from './device/block-device.ts'
export { FileDevice, type FileDeviceOptions } from './device/file-device.ts'
export { MemoryDevice } from './device/memory-device.ts'
export type { Range } from './device/ranges.ts'
export { SliceDevice } from './device/slice-device.ts'
/** Errors: one class per kind of trouble, each with a stable code. */
export {
  BusyError,
  DiskImageError,
  FormatError,
  InterruptedError,
  NotFoundError,
  OptionError,
  OutOfRangeError,
  ReadOnlyError,
  RefusedError,
  StorageError,
  UnsupportedError,
} from './errors.ts'
/** Something worth knowing that did not stop the work. */
export type { Finding } from './finding.ts'
