/** A device whose requests wait, so that a test decides in which order they are done. */
import { MemoryDevice } from '../../lib/device/memory-device.ts'

/** Request number n, reads and writes counted together from 0, is done after `letThrough(n)`. */
export class GatedDevice extends MemoryDevice {
  readonly #gates: { readonly opened: Promise<void>; readonly open: () => void }[] = []
  #requests = 0

  letThrough(request: number): void {
    this.#gate(request).open()
  }

  protected override async readBytes(offset: number, target: Buffer): Promise<void> {
    await this.#gate(this.#requests++).opened
    await super.readBytes(offset, target)
  }

  protected override async writeBytes(offset: number, source: Buffer): Promise<void> {
    await this.#gate(this.#requests++).opened
    await super.writeBytes(offset, source)
  }

  #gate(request: number) {
    let open = () => {}
    const opened = new Promise<void>(resolve => {
      open = resolve
    })
    this.#gates[request] ??= { opened, open }
    return this.#gates[request]!
  }
}
