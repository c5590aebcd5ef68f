/** The codecs, each alone: chunks as Windows and wimlib pack them. */
import { decodeLznt1 } from '../../../lib/codec/lznt1.ts'
import { decodeLzx } from '../../../lib/codec/lzx.ts'
import { decodeXpress } from '../../../lib/codec/xpress.ts'
import { decodeXpressHuffman } from '../../../lib/codec/xpress-huffman.ts'
import type { Observer } from '../observer.ts'
import { bytesPlace } from '../places.ts'
import { unpackSeed } from '../seeds/packed.ts'
import type { Seed, Target } from '../target.ts'

type Decode = (source: Buffer, target: Buffer) => void

/** What lies around the source and the target, and must stay. */
const MARGIN = 256
const MARK = 0xa7

interface PackedSeed extends Seed {
  readonly size: number
}

export const codecs: readonly Target[] = [
  codec('lznt1', decodeLznt1, () => lznt1Seeds()),
  codec('xpress-huffman', decodeXpressHuffman, () => [
    ...wofSeeds('xpress-4k', 4096),
    ...wofSeeds('xpress-8k', 8192),
    ...wofSeeds('xpress-16k', 16_384),
  ]),
  codec('xpress', decodeXpress, () => [
    // The specification's own examples, [MS-XCA] 3.1: the alphabet, and a hundred times abc.
    seedOf('alphabet', Buffer.from(`3f000000${Buffer.from('abcdefghijklmnopqrstuvwxyz').toString('hex')}`, 'hex'), 26),
    seedOf('abc', Buffer.from('ffffff1f61626317000fff2601', 'hex'), 300),
  ]),
  codec('lzx', decodeLzx, () => wofSeeds('lzx', 32_768)),
]

function codec(name: string, decode: Decode, load: () => PackedSeed[]): Target {
  return {
    name,
    load: async () => load(),
    seal() {},
    async exercise(content, observer, seed) {
      const { size } = seed as PackedSeed
      for (const wanted of [size, Math.floor(size / 3), size + 999]) {
        await observer.attempt(() => decodeTwice(decode, content, wanted, observer))
      }
    },
  }
}

/** Into targets filled with one thing and another: what stays of it was never decoded. The bytes around both stay too. */
function decodeTwice(decode: Decode, content: Buffer, size: number, observer: Observer): void {
  const results = [0x00, 0xff].map(fill => {
    const source = Buffer.alloc(content.length + 2 * MARGIN, fill)
    content.copy(source, MARGIN)
    const target = Buffer.alloc(size + 2 * MARGIN, MARK)
    const inside = target.subarray(MARGIN, MARGIN + size).fill(fill)
    decode(source.subarray(MARGIN, MARGIN + content.length), inside)
    const around = Buffer.concat([target.subarray(0, MARGIN), target.subarray(MARGIN + size)])
    observer.claim(
      around.every(byte => byte === MARK),
      'bytes beside the target are written',
    )
    return inside
  })
  observer.claim(results[0]!.equals(results[1]!), 'the result depends on what was in the target or beside the source')
  observer.note(results[0]!)
}

/** The chunks of a file that WOF packed: a table of their ends, then one after the other. */
function wofSeeds(name: string, chunkSize: number): PackedSeed[] {
  const stream = unpackSeed(`${name}.wof`)
  const size = 40_000
  const count = Math.ceil(size / chunkSize)
  const table = (count - 1) * 4
  const start = (chunk: number) => (chunk === 0 ? table : table + stream.readUInt32LE((chunk - 1) * 4))
  return Array.from({ length: count }, (_, chunk) => {
    const content = Buffer.from(stream.subarray(start(chunk), chunk + 1 < count ? start(chunk + 1) : stream.length))
    return seedOf(`${name} ${chunk}`, content, Math.min(chunkSize, size - chunk * chunkSize))
  })
}

/** Chunks that decode to 4096 bytes and one that ends sooner: literals and matches of several shapes, and plain bytes. */
function lznt1Seeds(): PackedSeed[] {
  // "F# F# G A A G F# E D D E F# F# E E" is the specification's own example, [MS-XCA] 3.3.
  const melody = Buffer.from(
    '38b088462320002047204100 10a24701a0452044 0008450150790 0c04520052413 8805b4024a44ef03 58028c091601484500be 009e000401189000'.replaceAll(
      ' ',
      '',
    ),
    'hex',
  )
  const run = Buffer.from('03b00261fc0f', 'hex')
  const plain = Buffer.concat([Buffer.from('ff3f', 'hex'), Buffer.alloc(4096, 'plain bytes ')])
  return [
    seedOf('melody', melody, 142),
    seedOf('a run', run, 4096),
    seedOf('plain', plain, 4096),
    seedOf('all of them', Buffer.concat([run, plain, run, melody]), 3 * 4096 + 142),
  ]
}

function seedOf(name: string, content: Buffer, size: number): PackedSeed {
  // Headers and tables are at the start: there a change matters most.
  const head = Math.min(content.length, 64)
  const places = [
    bytesPlace('head', { offset: 0, length: head }),
    bytesPlace('all', { offset: 0, length: content.length }),
  ]
  return { name, content, places, size }
}
