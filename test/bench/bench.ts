/**
 * npm run bench: how fast the program is beside those that do the nearest thing, and how much memory it takes. Every program
 * reads from the page cache and is done when its output is on the disk. They take turns, so that what the machine does besides falls on
 * all of them. As root, with ntfs-3g, partclone, qemu-utils, sleuthkit, 7zip, gdisk and dosfstools.
 */
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { cacheFolder } from '../helpers/folders.ts'
import { benchCapture } from './capture.ts'
import { benchCodecs } from './codecs.ts'
import { benchCompact } from './compact.ts'
import { benchConvert } from './convert.ts'
import { benchCopyOut, benchList } from './files.ts'
import { install, machine } from './measure.ts'
import { benchMerge } from './merge.ts'
import type { Settings } from './settings.ts'

const BENCHMARKS: Readonly<Record<string, (settings: Settings) => Promise<void>>> = {
  capture: benchCapture,
  convert: benchConvert,
  compact: benchCompact,
  merge: benchMerge,
  list: benchList,
  'copy-out': benchCopyOut,
  codecs: benchCodecs,
}

const HELP = `npm run bench -- [BENCHMARK …] [--data 3GiB] [--files 100000] [--rounds 5] [--dir FOLDER] [--no-huge]

  BENCHMARK ${Object.keys(BENCHMARKS).join(', ')}: all of them unless told
  --data    bytes of files on the disk; it is a little more than twice as large
  --files   how many files
  --rounds  how often each program runs; medians are printed
  --dir     where the disks are kept and the outputs written (test/.cache/bench)
  --no-huge leave out the disk of 15 TB, which needs a file system that takes files of that size`

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      data: { type: 'string', default: '3GiB' },
      files: { type: 'string', default: '100000' },
      rounds: { type: 'string', default: '5' },
      dir: { type: 'string', default: join(cacheFolder, 'bench') },
      'no-huge': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const unknown = positionals.find(name => !Object.hasOwn(BENCHMARKS, name))
  if (values.help || unknown !== undefined) return console.log(HELP)
  const path = (name: string) => resolve(values.dir, name)
  const settings: Settings = {
    vhdx: await install(path('installed')),
    path,
    data: values.data,
    files: Number(values.files),
    rounds: Number(values.rounds),
    huge: !values['no-huge'],
  }
  console.log(`${new Date().toISOString().slice(0, 10)}, ${machine()}, medians of ${values.rounds} rounds`)
  for (const name of positionals.length > 0 ? positionals : Object.keys(BENCHMARKS)) await BENCHMARKS[name]!(settings)
}

await main()
