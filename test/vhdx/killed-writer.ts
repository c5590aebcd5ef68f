/**
 * Writes to the disk of the image that its argument names, until it is killed: a block at a time, and says so when the
 * block is on the medium. Every third block it writes in part, and some it takes away again.
 */
import { writeSync } from 'node:fs'
import { MiB } from '../../lib/binary/size.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { writtenBy } from './killed-writing.ts'

const disk = await VhdxDevice.openForWriting(await FileDevice.open(process.argv[2]!, { mode: 'write' }))
for (let step = 0; ; step++) {
  const { offset, bytes } = writtenBy(step, disk.size)
  if (bytes === undefined) await disk.zero(offset, MiB)
  else await disk.write(offset, bytes)
  await disk.flush()
  writeSync(1, `${step}\n`)
}
