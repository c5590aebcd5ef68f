import { MemoryDevice } from '../../lib/device/memory-device.ts'
import { describeBlockDevice } from './conformance.ts'

describeBlockDevice('MemoryDevice', {
  writable: async content => new MemoryDevice(Buffer.from(content)),
  readOnly: async content => new MemoryDevice(content, { readOnly: true }),
  growable: async () => new MemoryDevice(0, { growable: true }),
})
