/** The public API. Every name is listed, so that what is public is a decision. */

/** Sizes as people write and read them. */
export { formatSize, parseSize } from './binary/size.ts'
/** A disk becomes an image. */
export {
  type CaptureOptions,
  type CapturePlan,
  type CaptureSummary,
  captureDisk,
  planCapture,
} from './copy/capture.ts'
/** What a disk or an image is and holds. */
export { type DiskDescription, describeDisk } from './copy/describe-disk.ts'
export type { Manifest } from './copy/manifest.ts'
/** Whether an image still holds what was captured. */
export { type VerifyOptions, type VerifyReport, verifyImage } from './copy/verify.ts'
/** Disks, parts of disks, files: one contract. */
export { BlockDevice, type ByteSource } from './device/block-device.ts'
export { FileDevice, type FileDeviceOptions } from './device/file-device.ts'
export { MemoryDevice } from './device/memory-device.ts'
export type { Range } from './device/ranges.ts'
export { SliceDevice } from './device/slice-device.ts'
/** Standard output, for an image that is streamed. */
export { stdoutSink } from './device/stdout-sink.ts'
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
/** What of a volume is left out, and why. */
export { LEFT_OUT_REASONS, type LeftOut, type LeftOutReason } from './volume/volume.ts'
