import { describe, expect, test } from 'vitest'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { describeBlockDevice } from '../device/conformance.ts'
import { CountingDevice } from './counting-device.ts'
import { FaultyDevice } from './faulty-device.ts'
import { pattern } from './pattern.ts'
import { sparseDevice } from './sparse-device.ts'

describeBlockDevice('CountingDevice', {
  writable: async content => new CountingDevice(new MemoryDevice(Buffer.from(content))),
  readOnly: async content => new CountingDevice(new MemoryDevice(content, { readOnly: true })),
  growable: async () => new CountingDevice(new MemoryDevice(0, { growable: true })),
})

describeBlockDevice('FaultyDevice without faults', {
  writable: async content => new FaultyDevice(new MemoryDevice(Buffer.from(content))),
  readOnly: async content => new FaultyDevice(new MemoryDevice(content, { readOnly: true })),
  growable: async () => new FaultyDevice(new MemoryDevice(0, { growable: true })),
})

const codeOf = (request: Promise<void>) =>
  request.then(
    () => 'done',
    error => error.code,
  )

describe('test devices', () => {
  test('a counting device counts', async () => {
    const device = new CountingDevice(new MemoryDevice(10_000))
    await Promise.all([device.read(0, Buffer.alloc(100)), device.read(5, Buffer.alloc(50))])
    await device.write(7, Buffer.alloc(3))
    await device.zero(9, 4)
    await device.flush()
    expect(device.reads).toEqual([
      { offset: 0, length: 100 },
      { offset: 5, length: 50 },
    ])
    expect([device.bytesRead, device.bytesWritten, device.flushes, device.mostAtOnce]).toEqual([150, 7, 1, 2])
  })

  test('a faulty device has bad sectors', async () => {
    const device = new FaultyDevice(new MemoryDevice(pattern(4096)), { unreadable: [{ offset: 1024, length: 512 }] })
    expect(await codeOf(device.read(0, Buffer.alloc(1024)))).toBe('done')
    expect(await codeOf(device.read(1000, Buffer.alloc(25)))).toBe('READ_ERROR')
    expect(await codeOf(device.read(1535, Buffer.alloc(1)))).toBe('READ_ERROR')
    expect(await codeOf(device.read(1536, Buffer.alloc(100)))).toBe('done')
  })

  test('a faulty device goes away', async () => {
    const device = new FaultyDevice(new MemoryDevice(4096), { requests: 2 })
    expect(await codeOf(device.read(0, Buffer.alloc(1)))).toBe('done')
    expect(await codeOf(device.write(0, Buffer.alloc(1)))).toBe('done')
    expect(await codeOf(device.read(0, Buffer.alloc(1)))).toBe('DEVICE_GONE')
    expect(await codeOf(device.flush())).toBe('DEVICE_GONE')
  })

  test('a faulty device is full', async () => {
    const device = new FaultyDevice(new MemoryDevice(4096), { space: 1000 })
    expect(await codeOf(device.write(0, Buffer.alloc(900)))).toBe('done')
    expect(await codeOf(device.zero(0, 100))).toBe('done')
    expect(await codeOf(device.write(0, Buffer.alloc(1)))).toBe('NO_SPACE')
  })

  test('a sparse device has zeros where it has no data', async () => {
    const target = Buffer.alloc(1000)
    await sparseDevice(1000, [{ offset: 10, length: 20 }]).read(0, target)
    expect(target.equals(Buffer.concat([Buffer.alloc(10), pattern(20, 10), Buffer.alloc(970)]))).toBe(true)
  })
})
