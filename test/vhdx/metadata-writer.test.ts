import { describe, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { createVhdx } from '../../lib/vhdx/create.ts'
import { IS_REQUIRED, IS_USER, IS_VIRTUAL_DISK, VIRTUAL_DISK_ID, virtualDiskId } from '../../lib/vhdx/format.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { WriteSession } from '../../lib/vhdx/write-session.ts'
import { pattern } from '../helpers/pattern.ts'

const ID = '8c2e3c0e-5b1c-4f19-9a39-1f3c0d3a9f6e'
const OTHER = '0a6a4a52-7a73-49b5-a1b5-8c17b2f0d3c4'

async function newImage(): Promise<MemoryDevice> {
  const file = new MemoryDevice(0, { growable: true })
  await createVhdx(file, { virtualSize: 10 * MiB })
  return file
}

async function setting(file: MemoryDevice, ...change: Parameters<WriteSession['setItems']>): Promise<void> {
  const session = await WriteSession.open(file)
  await session.setItems(...change)
  await session.close()
  expect((await checkVhdx(file)).problems).toEqual([])
}

const user = (itemId: string, data: Buffer) => ({ itemId, flags: IS_USER, data })

describe('metadata items', () => {
  test('a new disk id takes the place of the old one', async () => {
    const file = await newImage()
    const data = virtualDiskId.toBuffer({ virtualDiskId: ID })
    await setting(file, [{ itemId: VIRTUAL_DISK_ID, flags: IS_VIRTUAL_DISK + IS_REQUIRED, data }])
    await using device = await VhdxDevice.open(file)
    expect(device.metadata.virtualDiskId).toBe(ID)
  })

  test('items are added, grow, shrink and go, and others stay', async () => {
    const file = await newImage()
    await setting(file, [user(ID, pattern(1000, 1)), user(OTHER, pattern(5000, 2))])
    await setting(file, [user(ID, pattern(2000, 3))])
    {
      await using device = await VhdxDevice.open(file)
      expect(await device.userMetadata(ID)).toEqual(pattern(2000, 3))
      expect(await device.userMetadata(OTHER)).toEqual(pattern(5000, 2))
    }
    await setting(file, [user(OTHER, Buffer.alloc(0))], [{ itemId: ID, isUser: true }])
    await using device = await VhdxDevice.open(file)
    expect(await device.userMetadata(ID)).toBeUndefined()
    expect(await device.userMetadata(OTHER)).toEqual(Buffer.alloc(0))
    expect(device.size).toBe(10 * MiB)
  })

  test('an item may be larger than a log entry, and not than the region', async () => {
    const file = await newImage()
    await setting(file, [user(ID, pattern(900_000, 4))])
    await using device = await VhdxDevice.open(file)
    expect((await device.userMetadata(ID))!.equals(pattern(900_000, 4))).toBe(true)
    const session = await WriteSession.open(file)
    await expect(session.setItems([user(OTHER, pattern(200_000, 5))])).rejects.toMatchObject({ code: 'METADATA_FULL' })
  })
})
