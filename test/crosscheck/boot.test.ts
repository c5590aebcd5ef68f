/** It boots: a disk whose GRUB prints a file of its NTFS volume is captured, and QEMU starts from the image. */

import { bootAndListen, bootTools, buildBootDisk, type Firmware } from '../helpers/boot-disk.ts'
import { vhdxJson } from '../helpers/cli.ts'
import { diskTools } from '../helpers/disks.ts'
import { scratch } from '../helpers/folders.ts'
import { testWith } from '../helpers/tools.ts'

const MACHINES: Readonly<Record<Firmware, string>> = {
  uefi: 'OVMF starts GRUB from the ESP of a GPT disk',
  bios: 'SeaBIOS starts GRUB from the gap of an MBR disk',
}

for (const firmware of ['uefi', 'bios'] as const) {
  testWith([...diskTools, ...bootTools[firmware]], `ours → QEMU: ${MACHINES[firmware]}`, async () => {
    await using folder = await scratch()
    const [disk, image] = [folder.path('disk.raw'), folder.path('image.vhdx')]
    await buildBootDisk(disk, firmware)
    await vhdxJson('capture', disk, image)
    await bootAndListen(image, 'vhdx', firmware)
  })
}
