/**
 * Requests to the disk of an image by chance, with flushes and reopenings, on a medium that keeps all of it; and whether the
 * image is as it must be wherever the power is cut.
 */
import { StorageError } from '../../lib/errors.ts'
import { checkVhdx } from '../../lib/vhdx/check.ts'
import { replayLogOnDisk } from '../../lib/vhdx/log-recovery.ts'
import { VhdxDevice } from '../../lib/vhdx/vhdx-device.ts'
import { Random } from '../fuzz/random.ts'
import { afterAll, afterSome, RecordingDevice, type RecordingOptions } from '../helpers/recording-device.ts'
import type { SparseFile } from '../helpers/sparse-file.ts'
import { DiskHistory } from './disk-history.ts'
import { type DiskKind, perform, randomRequests } from './disk-requests.ts'
import { type Layers, makeChain, type WritableChain } from './writable-chains.ts'

export interface TrialOptions extends Pick<RecordingOptions, 'fault'> {
  /** What it is by chance, and what errors are told with. */
  readonly name: string
  readonly layers: Layers
  /** How often requests are made, some at a time. */
  readonly steps: number
}

export class WriteTrial {
  readonly medium: RecordingDevice
  /** What requests, flushes and closes have failed with. */
  readonly failures: StorageError[] = []
  readonly #name: string
  readonly #random: Random
  readonly #parent: WritableChain['parent']
  readonly #history: DiskHistory
  readonly #kind: DiskKind
  readonly #content: Buffer

  private constructor(
    name: string,
    medium: RecordingDevice,
    random: Random,
    disk: VhdxDevice,
    content: Buffer,
    parent: WritableChain['parent'],
    grain: number,
  ) {
    this.#name = name
    this.medium = medium
    this.#random = random
    this.#parent = parent
    const isFixed = disk.metadata.leaveBlocksAllocated
    this.#kind = { size: disk.size, sectorSize: disk.sectorSize, blockSize: disk.geometry.blockSize, isFixed, grain }
    this.#history = new DiskHistory(content, this.#kind, medium)
    this.#content = Buffer.alloc(content.length)
  }

  static async run({ name, layers, steps, fault }: TrialOptions): Promise<WriteTrial> {
    const random = new Random(name)
    const { file, parent } = await makeChain(layers)
    const disk = await VhdxDevice.open(file, { parent })
    const content = Buffer.alloc(disk.size)
    await disk.read(0, content)
    const medium = new RecordingDevice(file, { random, ...(fault && { fault }) })
    // What a failed write of a part of a sector has left of it cannot be told.
    const trial = new WriteTrial(name, medium, random, disk, content, parent, fault === undefined ? 1 : 512)
    await trial.#work(steps)
    medium.mark()
    return trial
  }

  /** Cuts the power after each write, with nothing lost. */
  async cutEverywhere(): Promise<void> {
    for (const [index, moment] of this.medium.moments.entries()) await this.#verify(afterAll(moment), index, true)
  }

  /** Cuts the power `count` times, with some of what was not flushed lost by the chance of `seed`. */
  async cutAnywhere(count: number, seed: string): Promise<void> {
    const random = new Random(`${this.#name} ${seed}`)
    const indexes = Array.from({ length: count }, () => random.below(this.medium.moments.length))
    for (const [n, index] of indexes.sort((a, b) => a - b).entries()) {
      const file = afterSome(this.medium.moments[index]!, random)
      await this.#verify(file, index, n % 5 === 0)
      if (n % 10 !== 0) continue
      await replayLogOnDisk(file)
      const disk = await this.#verify(file, index, true)
      if (disk.log !== 'clean') throw new Error(`${this.#name}: the log is still there at ${index}`)
    }
  }

  /** What may be on the medium after some cuts, and the disk that it reads as. */
  async filesOf(count: number, seed: string): Promise<{ file: SparseFile; disk: VhdxDevice }[]> {
    const random = new Random(`${this.#name} ${seed}`)
    const files: { file: SparseFile; disk: VhdxDevice }[] = []
    while (files.length < count) {
      const index = random.below(this.medium.moments.length)
      const file = afterSome(this.medium.moments[index]!, random)
      files.push({ file, disk: await this.#verify(file, index, true) })
    }
    return files
  }

  async #work(steps: number): Promise<void> {
    const random = this.#random
    let disk = await this.#open()
    for (let step = 0; step < steps; step++) {
      const requests = randomRequests(this.#kind, 1 + random.below(4), 512, random)
      const work = requests.map(request =>
        this.#attempt(() => this.#history.perform(request, () => perform(disk, request))),
      )
      if (random.onceIn(3)) work.push(this.#flush(disk))
      const isBroken = (await Promise.all(work)).includes(false)
      if (random.onceIn(isBroken ? 1 : 4)) await this.#flush(disk)
      if (random.onceIn(isBroken ? 2 : 8) || step === steps - 1) disk = await this.#reopen(disk)
    }
    await this.#attempt(() => disk.close())
  }

  /** What keeps an image from being opened does not last. */
  async #open(): Promise<VhdxDevice> {
    for (;;) {
      try {
        return await VhdxDevice.openForWriting(this.medium, { parent: this.#parent })
      } catch (error) {
        this.#failed(error)
      }
    }
  }

  async #reopen(before: VhdxDevice): Promise<VhdxDevice> {
    const isClosed = await this.#attempt(() => this.#history.flush(() => before.close()))
    if (!isClosed) this.#history.giveUp()
    const now = await this.#verify(this.medium.content, this.medium.moments.length, true)
    if (isClosed && now.log !== 'clean') throw new Error(`${this.#name}: closed, and not clean`)
    const disk = await this.#open()
    if (this.failures.length > 0) return disk
    if (!this.#content.equals(this.#history.content))
      throw new Error(`${this.#name}: what was closed is not what is there`)
    return disk
  }

  #flush(disk: VhdxDevice): Promise<boolean> {
    return this.#attempt(() => this.#history.flush(() => disk.flush()))
  }

  async #attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await work()
      return true
    } catch (error) {
      this.#failed(error)
      return false
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof StorageError)) throw error
    this.failures.push(error)
  }

  async #verify(file: SparseFile, moment: number, isChecked: boolean): Promise<VhdxDevice> {
    const disk = await VhdxDevice.open(file, { parent: this.#parent })
    await disk.read(0, this.#content)
    const wrong = this.#history.firstWrongSector(this.#content, moment)
    if (wrong !== undefined) throw new Error(`${this.#name}: at ${moment}, sector ${wrong} is neither old nor new`)
    const problems = isChecked ? (await checkVhdx(file)).problems : []
    const errors = problems.filter(({ severity }) => severity === 'error').map(({ message }) => message)
    if (errors.length > 0) throw new Error(`${this.#name}: at ${moment}, ${errors}`)
    return disk
  }
}
