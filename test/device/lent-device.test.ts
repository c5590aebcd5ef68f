import { describe, expect, test } from 'vitest'
import { LentDevice } from '../../lib/device/lent-device.ts'
import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { describeBlockDevice } from './conformance.ts'

describeBlockDevice('LentDevice', {
  writable: async content => new LentDevice(new MemoryDevice(Buffer.from(content))),
  readOnly: async content => new LentDevice(new MemoryDevice(content, { readOnly: true })),
  growable: async () => new LentDevice(new MemoryDevice(0, { growable: true })),
})

describe('LentDevice', () => {
  test('closing it closes nothing, and another size is one of its base', async () => {
    class Closable extends MemoryDevice {
      isClosed = false
      override async close(): Promise<void> {
        this.isClosed = true
      }
    }
    const base = new Closable(4096)
    const lent = new LentDevice(base)
    await lent.resize(8192)
    expect([lent.size, base.size]).toEqual([8192, 8192])
    await lent.close()
    expect(base.isClosed).toBe(false)
  })
})
