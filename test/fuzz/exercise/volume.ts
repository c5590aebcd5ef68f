/** Everything that can be done with a volume, whatever its file system. */
import type { BlockDevice } from '../../../lib/device/block-device.ts'
import { openVolume } from '../../../lib/image/open-volume.ts'
import type { UsedSpaceOptions, Volume } from '../../../lib/volume/volume.ts'
import type { Observer } from '../observer.ts'
import { exerciseFiles } from './files.ts'

export async function exerciseVolume(device: BlockDevice, observer: Observer, typeId?: string): Promise<void> {
  const volume = await observer.attempt(() => openVolume(device, typeId))
  if (volume === undefined) return
  const { fileSystem, label, clusterSize, sectorSize } = volume
  observer.note(fileSystem, label, clusterSize, sectorSize)
  observer.findings([...volume.findings, ...volume.hazards])
  for (const options of [{}, { exclude: () => true }]) {
    await observer.attempt(() => exerciseUsedSpace(volume, device, options, observer))
  }
  const files = await observer.attempt(() => volume.openFiles())
  if (files !== undefined) await exerciseFiles(files, device, observer)
}

async function exerciseUsedSpace(
  volume: Volume,
  device: BlockDevice,
  options: UsedSpaceOptions,
  observer: Observer,
): Promise<void> {
  const space = await volume.usedSpace(options)
  observer.findings(space.findings)
  let sum = 0
  for await (const { offset, length } of observer.inOrder(space.ranges(), device.size)) {
    observer.note(offset, length)
    sum += length
  }
  observer.claim(sum === space.usedBytes, `usedBytes is ${space.usedBytes}, but the ranges add up to ${sum}`)
  for (const { offset, bytes } of space.patches) {
    observer.claim(offset >= 0 && offset + bytes.length <= device.size, `a patch at ${offset}, outside the volume`)
  }
  for (const { path, bytes } of space.leftOut) {
    observer.note(path, bytes)
    observer.claim(bytes >= 0 && bytes <= device.size, `${bytes} bytes of ${path} are left out`)
  }
}
