import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { OutputFile } from '../../lib/copy/output-file.ts'
import { type Scratch, scratch } from '../helpers/folders.ts'

let folder: Scratch
beforeEach(async () => {
  folder = await scratch()
})
afterEach(() => folder[Symbol.asyncDispose]())

const create = (name: string, overwrite = false, needed = 0) =>
  OutputFile.create(folder.path(name), { overwrite, needed })
const names = () => readdir(folder.path('.'))

test('the name appears with the last byte, and nothing else stays', async () => {
  await using output = await create('image')
  await output.device.write(0, Buffer.from('whole'))
  expect(await names()).toEqual(['image.partial'])
  await output.complete()
  expect(await names()).toEqual(['image'])
  expect(await readFile(folder.path('image'), 'utf8')).toBe('whole')
})

test('what is not completed is deleted', async () => {
  {
    await using output = await create('image')
    await output.device.write(0, Buffer.from('half'))
  }
  expect(await names()).toEqual([])
})

test('a file is replaced only when that was said, and only at the end', async () => {
  await writeFile(folder.path('image'), 'old')
  await expect(create('image')).rejects.toMatchObject({ code: 'TARGET_EXISTS' })
  await using output = await create('image', true)
  await output.device.write(0, Buffer.from('new'))
  expect(await readFile(folder.path('image'), 'utf8')).toBe('old')
  await output.complete()
  expect(await readFile(folder.path('image'), 'utf8')).toBe('new')
})

test('a file that came to be there meanwhile is not replaced', async () => {
  await using output = await create('image')
  await writeFile(folder.path('image'), 'somebody was faster')
  await expect(output.complete()).rejects.toMatchObject({ code: 'TARGET_EXISTS' })
  expect(await readFile(folder.path('image'), 'utf8')).toBe('somebody was faster')
})

test('folders, links and devices are never replaced', async () => {
  await mkdir(folder.path('folder'))
  await symlink('nowhere', folder.path('link'))
  for (const name of ['folder', 'link']) {
    for (const overwrite of [false, true]) {
      await expect(create(name, overwrite)).rejects.toMatchObject({ code: 'TARGET_NOT_A_FILE' })
    }
  }
  await expect(OutputFile.create('/dev/null', { overwrite: true, needed: 0 })).rejects.toMatchObject({
    code: 'TARGET_NOT_A_FILE',
  })
  expect((await names()).sort()).toEqual(['folder', 'link'])
})

test('a half-written file in use by another is kept, one left behind is replaced', async () => {
  await using other = await create('image')
  await expect(create('image')).rejects.toMatchObject({ code: 'TARGET_EXISTS' })
  await expect(create('image', true)).rejects.toMatchObject({ code: 'IN_USE' })
  await other.device.close()
  await using output = await create('image', true)
  await output.complete()
  expect(await names()).toEqual(['image'])
})

test('no room, no file', async () => {
  await expect(create('image', false, Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ code: 'NO_SPACE' })
  expect(await names()).toEqual([])
})
