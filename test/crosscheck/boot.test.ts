/** It boots: a disk whose GRUB prints a file of its NTFS volume says the same from the image as from the disk. */
import { bootAndListen, bootTools, buildBootDisk, type Firmware } from '../helpers/boot-disk.ts'
import { diskTools } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { testWith } from '../helpers/tools.ts'

for (const firmware of ['uefi', 'bios'] satisfies Firmware[]) {
  testWith([...diskTools, ...bootTools[firmware]], `the disk itself boots with ${firmware}`, async () => {
    await using folder = await scratch()
    const disk = folder.path('disk.raw')
    await buildBootDisk(disk, firmware)
    await bootAndListen(disk, 'raw', firmware)
  })
}
