/** Images as they lie in files: what verifyImage makes of their manifests. */
import { open, truncate, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MiB } from '../../lib/binary/size.ts'
import { captureDisk } from '../../lib/copy/capture.ts'
import { createImage } from '../../lib/copy/create-image.ts'
import { describeDisk } from '../../lib/copy/describe-disk.ts'
import { MANIFEST_ITEM } from '../../lib/copy/manifest.ts'
import { verifyImage } from '../../lib/copy/verify.ts'
import { FileDevice } from '../../lib/device/file-device.ts'
import { VhdxBuilder } from '../../lib/vhdx/builder.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'
import { pattern } from '../helpers/pattern.ts'

const SIZE = 12 * MiB + 700
let folder: Scratch
let [disk, image] = ['', '']
let manifest: Record<string, unknown>

beforeAll(async () => {
  folder = await scratch()
  disk = folder.path('disk.raw')
  image = folder.path('image.vhdx')
  await writeFile(disk, pattern(3 * MiB))
  await truncate(disk, SIZE)
  await captureDisk({ source: disk, target: image, tool: { name: 'test', version: '1' } })
  await using opened = await VhdxDevice.open(await FileDevice.open(image))
  manifest = JSON.parse((await opened.userMetadata(MANIFEST_ITEM))!.toString('utf8'))
})
afterAll(() => folder[Symbol.asyncDispose]())

/** An image of `virtualSize` bytes of zeros that carries this. */
async function imageWith(name: string, item: unknown, virtualSize = 12 * MiB + 1024): Promise<string> {
  const path = folder.path(name)
  await using file = await FileDevice.open(path, { mode: 'create' })
  const builder = await VhdxBuilder.create(file, { virtualSize })
  await builder.finish([{ itemId: MANIFEST_ITEM, data: Buffer.from(JSON.stringify(item)) }])
  return path
}

const same = { bytesChecked: 3 * MiB, differences: [], differentBytes: 0 }

test('an image is as it was captured, as its disk is, and no longer when a byte in it changes', async () => {
  expect(await verifyImage({ image })).toMatchObject(same)
  expect(await verifyImage({ image, against: disk })).toMatchObject({ differences: [] })
  const path = folder.path('changed.raw')
  await writeFile(path, pattern(3 * MiB))
  await truncate(path, SIZE)
  await using file = await open(path, 'r+')
  await file.write(Buffer.of(0), 0, 1, 2 * MiB)
  expect(await verifyImage({ image, against: path })).toMatchObject({
    differences: [{ offset: 2 * MiB, length: 4096 }],
  })
})

test('an image whose disk was made smaller, or emptied, is not as it was captured', async () => {
  const smaller = await imageWith('smaller.vhdx', manifest, 2 * MiB)
  await expect(verifyImage({ image: smaller })).rejects.toMatchObject({ code: 'BAD_MANIFEST' })
  const emptied = await imageWith('emptied.vhdx', manifest)
  expect(await verifyImage({ image: emptied })).toMatchObject({ bytesChecked: 3 * MiB, differentBytes: 3 * MiB })
})

test.each(['leftOut', 'source', 'exclude', 'keep', 'hashes', 'readErrors'])(
  'a manifest with a bad %s is BAD_MANIFEST to all who verify by it, and a finding to who describes the image',
  async field => {
    for (const value of [5, null, undefined]) {
      const path = await imageWith(`${field} ${value}.vhdx`, { ...manifest, [field]: value })
      const readers = [() => verifyImage({ image: path }), () => verifyImage({ image: path, against: disk })]
      for (const read of readers) {
        await expect(read()).rejects.toMatchObject({ name: 'FormatError', code: 'BAD_MANIFEST' })
      }
      const { manifest: read, findings } = await describeDisk(path)
      expect(read).toBeNull()
      expect(findings.map(({ code }) => code)).toContain('BAD_MANIFEST')
    }
  },
)

test('an image that nobody captured has no hashes, but can be compared', async () => {
  const path = folder.path('created.vhdx')
  await createImage(path, { virtualSize: 12 * MiB + 1024 })
  await expect(verifyImage({ image: path })).rejects.toMatchObject({ code: 'NO_MANIFEST' })
  const { differences } = await verifyImage({ image: path, against: disk })
  expect(differences).toEqual([{ offset: 0, length: 3 * MiB }])
  const other = folder.path('other.raw')
  await writeFile(other, pattern(MiB))
  await expect(verifyImage({ image: path, against: other })).rejects.toMatchObject({ code: 'SIZE_DIFFERS' })
})
