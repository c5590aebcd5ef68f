/** Changes by chance that make sense to a format: to its numbers first of all, to values that end what they count. */
import type { Mutation } from './mutation.ts'
import type { Random } from './random.ts'
import type { Field, Place, Seed, Target } from './target.ts'

/** Longer pieces than that are moved in part. */
const MAX_PIECE = 4096

/** From one to eight changes to `seed`, more often few. `others` are seeds of the same format. */
export function randomMutations(target: Target, seed: Seed, others: readonly Seed[], random: Random): Mutation[] {
  const mutations: Mutation[] = []
  const maker = new MutationMaker(target, seed, others, random)
  do mutations.push(maker.make())
  while (mutations.length < 8 && !random.onceIn(2))
  return mutations
}

class MutationMaker {
  readonly #bigEndian: boolean
  readonly #seed: Seed
  readonly #others: readonly Seed[]
  readonly #random: Random
  /** Places by kind: of kinds one is as likely as another, however many places each has. */
  readonly #kinds: ReadonlyMap<string, readonly Place[]>

  constructor(target: Target, seed: Seed, others: readonly Seed[], random: Random) {
    this.#bigEndian = target.bigEndian ?? false
    this.#seed = seed
    this.#others = others
    this.#random = random
    this.#kinds = byKind(seed.places)
  }

  make(): Mutation {
    const place = this.#random.pick(this.#random.pick([...this.#kinds.values()]))
    const roll = this.#random.below(100)
    if (roll < 60) return this.#number(place)
    if (roll < 72) return this.#bit(place)
    if (roll < 80) return this.#bytes(place)
    if (roll < 90) return this.#another(place)
    if (roll < 94) return this.#fill(place)
    if (roll < 98) return this.#splice(place)
    return this.#resize()
  }

  /** Sets a field to a value at the edge of something, or to what a field like it holds elsewhere. */
  #number(place: Place): Mutation {
    const { name, offset, length } = this.#field(place)
    if (length > 8) return this.#bytes({ ...place, offset, length })
    const current = this.#read(this.#seed.content, offset, length)
    const value = BigInt.asUintN(length * 8, this.#value(place, name, current, length))
    return this.#write(`${name} = ${value}, was ${current}`, offset, this.#encode(value, length))
  }

  /** One byte of a place without fields counts as a field. */
  #field(place: Place): Field {
    if (place.fields.length > 0) return this.#random.pick(place.fields)
    return { name: place.kind, offset: place.offset + this.#random.below(place.length), length: 1 }
  }

  #value(place: Place, name: string, current: bigint, length: number): bigint {
    const top = 2n ** BigInt(length * 8)
    const random = this.#random
    const edges = [0n, 1n, 2n, top - 1n, top - 2n, top / 2n, top / 2n - 1n, current - 1n, current + 1n]
    const sizes = [current * 2n, current / 2n, 2n ** BigInt(random.below(length * 8)), 2n ** 53n, 2n ** 31n, 2n ** 32n]
    switch (random.below(6)) {
      case 0:
      case 1:
        return random.pick(edges)
      case 2:
        return random.pick(sizes)
      case 3:
        return BigInt(random.below(Number(top < 2n ** 32n ? top : 2n ** 32n)))
      case 4:
        // Small, as counts and numbers of clusters are.
        return BigInt(random.below(256))
      default:
        return this.#twin(place, name, length) ?? random.pick(edges)
    }
  }

  /** What the same field of a place of the same kind holds: two that lead to one place, circles. */
  #twin(place: Place, name: string, length: number): bigint | undefined {
    const twin = this.#random.pick(this.#kinds.get(place.kind)!).fields.find(field => field.name === name)
    return twin && this.#read(this.#seed.content, twin.offset, length)
  }

  #bit(place: Place): Mutation {
    const { name, offset, length } = this.#field(place)
    const at = offset + this.#random.below(length)
    const bit = this.#random.below(8)
    return this.#write(`${name}: bit ${bit} of byte ${at}`, at, Buffer.from([this.#seed.content[at]! ^ (1 << bit)]))
  }

  #bytes(place: Place): Mutation {
    const start = this.#random.below(place.length)
    const length = 1 + this.#random.below(Math.min(16, place.length - start))
    return this.#write(`${place.kind}: any bytes`, place.offset + start, this.#random.bytes(length))
  }

  /** Puts another place of the same kind here. */
  #another(place: Place): Mutation {
    const other = this.#random.pick(this.#kinds.get(place.kind)!)
    const length = Math.min(place.length, other.length, MAX_PIECE)
    const bytes = this.#seed.content.subarray(other.offset, other.offset + length)
    return this.#write(`${place.kind}: that of byte ${other.offset}`, place.offset, bytes)
  }

  #fill(place: Place): Mutation {
    const { name, offset, length } = this.#random.onceIn(2) ? { ...place, name: place.kind } : this.#field(place)
    const byte = this.#random.pick([0, 0, 0xff])
    return this.#write(`${name}: all ${byte}`, offset, Buffer.alloc(Math.min(length, MAX_PIECE), byte))
  }

  /** A piece of another seed, where it is there. */
  #splice(place: Place): Mutation {
    const other = this.#random.pick(this.#others)
    const from = this.#random.onceIn(2) ? place.offset : this.#random.pick(other.places).offset
    const bytes = other.content.subarray(from, from + Math.min(place.length, MAX_PIECE))
    return this.#write(`${place.kind}: byte ${from} of ${other.name}`, place.offset, bytes)
  }

  #resize(): Mutation {
    const { length } = this.#seed.content
    const place = this.#random.pick(this.#seed.places)
    const size = this.#random.pick([
      place.offset,
      place.offset + this.#random.below(place.length),
      length - 1 - this.#random.below(Math.min(length, 4096)),
      length + this.#random.below(4096),
    ])
    return { what: `${size} bytes, were ${length}`, size }
  }

  #write = (what: string, offset: number, bytes: Buffer): Mutation => ({ what, offset, hex: bytes.toString('hex') })

  #read(content: Buffer, offset: number, length: number): bigint {
    const bytes = Buffer.from(content.subarray(offset, offset + length))
    if (!this.#bigEndian) bytes.reverse()
    return BigInt(`0x0${bytes.toString('hex')}`)
  }

  #encode(value: bigint, length: number): Buffer {
    const bytes = Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex')
    return this.#bigEndian ? bytes : bytes.reverse()
  }
}

function byKind(places: readonly Place[]): Map<string, Place[]> {
  const kinds = new Map<string, Place[]>()
  for (const place of places) kinds.set(place.kind, [...(kinds.get(place.kind) ?? []), place])
  return kinds
}
