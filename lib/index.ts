/** The public API. Every name is listed, so that what is public is a decision. */

/** Sizes as people write and read them. */
export { formatSize, parseSize } from './binary/size.ts'
/** A disk becomes an image. */
export { type CaptureSummary, captureDisk } from './copy/capture.ts'
export { type CaptureOptions, type CapturePlan, planCapture } from './copy/capture-plan.ts'
/** An image becomes smaller. */
export { type CompactReport, compactImage } from './copy/compact.ts'
export type { CompactOptions } from './copy/compact-plan.ts'
/** A disk in one form becomes the same disk in another. */
export { type ConvertSummary, convertDisk } from './copy/convert.ts'
export { type ConvertedImage, type ConvertOptions, type ConvertPlan, planConversion } from './copy/convert-plan.ts'
/** A new empty image, or a child of another one. */
export {
  type CreateChildOptions,
  type CreatedImage,
  type CreateImageOptions,
  createChild,
  createImage,
} from './copy/create-image.ts'
/** What a disk or an image is and holds. */
export { type DiskDescription, describeDisk } from './copy/describe-disk.ts'
/** Where two disks differ. */
export { type DiffOptions, type DiffReport, DiskDiff } from './copy/diff.ts'
/** The ids by which systems know a disk, and new ones. */
export {
  type ChangedId,
  changeIdentity,
  type DiskIdentity,
  type IdentityChange,
  type IdentityOptions,
  type IdentityReport,
  type PartitionIdentity,
  readIdentity,
} from './copy/identity.ts'
export type { Manifest } from './copy/manifest.ts'
/** A differencing image is merged into its parent. */
export { type MergeOptions, type MergeReport, mergeImage } from './copy/merge.ts'
/** A differencing image gets another parent. */
export { type RebaseOptions, type RebaseReport, rebaseImage } from './copy/rebase.ts'
/** A damaged image is put right, and can be made what it was again. */
export { type RepairOptions, type RepairReport, repairImage, type UndoneRepair, undoRepair } from './copy/repair.ts'
/** Another size for the disk in an image. */
export { type NewSize, type ResizeImageOptions, type ResizeReport, resizeImage } from './copy/resize.ts'
/** What can be read of a damaged image becomes a new one. */
export { type SalvageOptions, type SalvageReport, salvageImage } from './copy/salvage.ts'
/** Whether an image still holds what was captured. */
export { type VerifyOptions, verifyImage } from './copy/verify.ts'
export type { VerifyReport } from './copy/verify-report.ts'
/** Disks, parts of disks, files: one contract. */
export { BlockDevice, type ByteSource, type ResizableDevice } from './device/block-device.ts'
/** What a differencing image holds itself. */
export type { HeldRange } from './device/extents.ts'
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
/** Files copied out of a volume. */
export type { ArchiveSink } from './extract/archive.ts'
export {
  ARCHIVE_FORMATS,
  type ArchiveFormat,
  type ArchiveOptions,
  archiveFiles,
  archiveToFile,
} from './extract/archive-files.ts'
/** The files in one of the volumes of an image. */
export type { ReadableVolume } from './extract/choose-volume.ts'
export { DirectoryWalk } from './extract/directory-walk.ts'
export { type DiskUsage, type DiskUsageOptions, diskUsage } from './extract/disk-usage.ts'
export { extractFiles } from './extract/extract.ts'
export { type ExtractOptions, ON_CONFLICT, type OnConflict } from './extract/extract-options.ts'
export type { ExtractEvent, ExtractProgress, ExtractReport } from './extract/extract-report.ts'
export { type FindOptions, findEntries } from './extract/find.ts'
export {
  HASH_ALGORITHMS,
  type HashAlgorithm,
  type HashOptions,
  type HashResult,
  type HashSource,
  hashContents,
} from './extract/hash-entries.ts'
export { type ListedPartition, listPartitions, type PartitionList } from './extract/list-partitions.ts'
export {
  type OpenDiskInsideOptions,
  type OpenedDiskInside,
  type OpenedFiles,
  type OpenFilesOptions,
  openDiskInside,
  openFiles,
} from './extract/open-files.ts'
export { readContent } from './extract/read-content.ts'
export { findStream, type StreamPath } from './extract/stream-path.ts'
/** Something worth knowing that did not stop the work. */
export type { Finding } from './finding.ts'
/** An image and its parents. */
export type { ChainImage, ParentLink } from './image/chain-image.ts'
/** Whether a file is of another kind than VHDX. */
export { demandVhdx } from './image/container.ts'
export { type ImageChain, readChain } from './image/open-chain.ts'
/** Disks, images and volumes by what they hold. */
export { type OpenDiskOptions, type OpenedDisk, openDisk } from './image/open-disk.ts'
export { type HeldImage, openHeldRanges } from './image/open-held-ranges.ts'
export { type ImageFormat, type OpenedImage, type OpenImageOptions, openImageIn } from './image/open-image.ts'
export { openVolume } from './image/open-volume.ts'
export type { ParentOptions } from './image/parent-search.ts'
/** The partitions of a disk. */
export type { Partition, PartitionTable } from './partition/partition.ts'
export { readPartitionTable } from './partition/partition-table.ts'
/** The disk in an older image. */
export { VhdDevice, type VhdOpenOptions } from './vhd/vhd-device.ts'
/** Where on its disk an image has blocks. */
export type { BlockStates } from './vhdx/bat.ts'
export { type BlockMap, type BlockTable, mapBlocks, openBlockTable } from './vhdx/block-map.ts'
/** Whether an image keeps every rule of its format. */
export { type CheckOptions, type CheckResult, checkVhdx } from './vhdx/check.ts'
export { type Inspection, type InspectOptions, inspectVhdx } from './vhdx/inspect.ts'
/** Makes an image that was not closed properly clean, in place. */
export { replayLogOnDisk } from './vhdx/log-recovery.ts'
export type { Problem } from './vhdx/rules.ts'
/** Every structure of an image, with its place and its fields. */
export type { InspectedField, InspectedStructure } from './vhdx/structure-view.ts'
/** The disk in an image. */
export { VhdxDevice, type VhdxOpenOptions, type VhdxWriteOptions } from './vhdx/vhdx-device.ts'
/** Files of a volume, and all there is to know of one. */
export { type Entry, type EntryKind, FileAttribute, type FileTime, type NamedStream } from './volume/entry.ts'
export type {
  AttributeDetails,
  EntryDetails,
  Files,
  FilesOptions,
  ListOptions,
  NameDetails,
  OpenStreamOptions,
  ReparseDetails,
  RunDetails,
  TimeDetails,
} from './volume/files.ts'
/** What of a volume is left out, and why. */
export { LEFT_OUT_REASONS, type LeftOut, type LeftOutReason } from './volume/left-out.ts'
/** What of a volume has to be copied. */
export type { Patch, UsedSpace, UsedSpaceOptions, Volume } from './volume/volume.ts'
