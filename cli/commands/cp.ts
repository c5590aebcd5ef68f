import {
  type ArchiveFormat,
  archiveFiles,
  archiveToFile,
  type ExtractEvent,
  type ExtractOptions,
  type ExtractReport,
  extractFiles,
  type Files,
  formatSize,
  ON_CONFLICT,
  OptionError,
  stdoutSink,
} from '../../lib/index.ts'
import { defineCommand, outputOptions } from '../command.ts'
import { ExitCode } from '../exit-code.ts'
import { interruptible } from '../interrupt.ts'
import { Output } from '../output.ts'
import { duration, Progress } from '../progress.ts'
import { imageArgument, openFilesOf, volumeOptions } from '../volume-options.ts'

export default defineCommand({
  command: 'cp <image> <paths..>',
  describe: 'Copies files and folders out of a volume',
  builder: yargs =>
    yargs
      .positional('image', imageArgument)
      .positional('paths', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'What to copy: paths in the volume, globs, file:stream; last, unless it is an archive, where to',
      })
      .option('recursive', {
        type: 'boolean',
        alias: 'r',
        default: false,
        describe: 'Copy directories with all that is in them',
      })
      .option('tar', {
        type: 'string',
        requiresArg: true,
        describe: 'Write a tar archive instead; - for standard output',
      })
      .option('zip', {
        type: 'string',
        requiresArg: true,
        describe: 'Write a zip archive instead; - for standard output',
      })
      .option('on-conflict', {
        choices: ON_CONFLICT,
        default: 'fail' as const,
        describe:
          'What becomes of a file that the target has already; folders are merged. skip keeps it whatever is in it: after a crash or a power cut, which leave short files, take overwrite',
      })
      .option('streams', {
        type: 'boolean',
        default: process.platform === 'win32',
        describe: 'Copy named streams too: on Windows as such, elsewhere as files name:stream',
      })
      .option('raw', { type: 'boolean', default: false, describe: 'Encrypted files as they lie on the volume' })
      .option('system', { type: 'boolean', default: false, describe: "With the file system's own files, such as $MFT" })
      .options(volumeOptions)
      .options(outputOptions)
      .epilogue(KEPT_HELP)
      .example('$0 cp sda.vhdx /Users/anna/thesis.docx .', 'A file')
      .example('$0 cp -r sda.vhdx /Users/anna anna', 'A folder')
      .example('$0 cp -r sda.vhdx /Users --tar - | zstd > users.tar.zst', 'A folder, as an archive')
      .example("$0 cp sda.vhdx '/Users/*/Desktop/*.docx' found", 'What a glob matches'),
  lists: ['paths'],
  handler: async args => {
    const target = targetOf(args)
    const streams = target.archive !== undefined && target.path === '-'
    if (streams && process.stdout.isTTY) {
      throw new OptionError(
        'STDOUT_IS_TERMINAL',
        'an archive cannot be written to a terminal. Pipe it on, or give a file',
      )
    }
    const output = new Output(args, streams)
    const progress = new Progress(output)
    const log = new EventLines(output, progress)
    await using opened = await openFilesOf(args, output)
    const { files } = opened
    const report = await interruptible(output, streams ? '-' : target.path, signal =>
      copy(files, target, {
        sources: opened.sources,
        recursive: args.recursive,
        onConflict: args.onConflict,
        streams: args.streams,
        raw: args.raw,
        system: args.system,
        signal,
        onProgress: ({ phase, done, total }) => progress.report({ phase, done, total }),
        onEvent: event => log.tell(event),
      }).finally(() => progress.stop()),
    )
    log.finish()
    for (const finding of files.findings) output.remark(finding)
    await output.result({ type: 'summary', ...report, warnings: files.findings }, () =>
      reportText(report, streams ? 'The archive' : target.path),
    )
    if (process.platform === 'win32' && target.archive === undefined) output.note(NOT_KEPT_ON_WINDOWS)
    return report.errors > 0 || files.findings.length > 0 ? ExitCode.problems : ExitCode.done
  },
})

/** Node has no way to set the others: on Windows neither, where files have them. */
const KEPT_HELP =
  'Copies keep their contents, the times of modification and access, read-only, links and, where the target has them, named streams; not the time of creation, hidden and system, compression, encryption, owners and permissions. stat shows these.'
const NOT_KEPT_ON_WINDOWS = 'the times of creation and the attributes hidden and system were not kept'

interface Target {
  readonly sources: readonly string[]
  readonly path: string
  readonly archive: ArchiveFormat | undefined
}

/** The last path is where to copy, unless an archive is. */
function targetOf({ paths, tar, zip }: { paths: string[]; tar: string | undefined; zip: string | undefined }): Target {
  if (tar !== undefined && zip !== undefined) throw new OptionError('USAGE', 'give --tar or --zip, not both')
  if (paths.includes('')) throw new OptionError('USAGE', "one of the 'paths' is empty")
  if (tar !== undefined) return { sources: paths, path: tar, archive: 'tar' }
  if (zip !== undefined) return { sources: paths, path: zip, archive: 'zip' }
  if (paths.length > 1) return { sources: paths.slice(0, -1), path: paths.at(-1)!, archive: undefined }
  throw new OptionError(
    'USAGE',
    `say where to copy ${paths[0]} to: a folder, a new name, or --tar or --zip with a file`,
  )
}

function copy(files: Files, { sources, path, archive }: Target, options: ExtractOptions): Promise<ExtractReport> {
  if (archive === undefined) return extractFiles(files, sources, path, options)
  if (path === '-') return archiveFiles(files, sources, stdoutSink(), { ...options, format: archive })
  return archiveToFile(files, sources, path, { ...options, format: archive })
}

/** Lines of a kind that people are shown; programs get all of them. */
const MAX_LINES = 20

/** A line for each thing that was not copied as it stands. */
class EventLines {
  readonly #output: Output
  readonly #progress: Progress
  readonly #told = { error: 0, skipped: 0, renamed: 0 }

  constructor(output: Output, progress: Progress) {
    this.#output = output
    this.#progress = progress
  }

  tell(event: ExtractEvent): void {
    if (this.#told[event.type]++ >= MAX_LINES && !this.#output.json) return
    this.#progress.aside(() => {
      this.#output.jsonLine(
        event.type === 'error' ? { ...event, error: { code: event.error.code, message: event.error.message } } : event,
      )
      if (event.type === 'error') this.#output.complain(eventText(event))
      else this.#output.note(eventText(event))
    })
  }

  finish(): void {
    for (const [type, count] of Object.entries(this.#told)) {
      if (count > MAX_LINES) this.#output.note(`${type}: ${count - MAX_LINES} more; --json tells all of them`)
    }
  }
}

function eventText(event: ExtractEvent): string {
  if (event.type === 'error') return `vhdx: ${event.path}: ${event.error.message} [${event.error.code}]`
  if (event.type === 'skipped') return `skipped: ${event.path}: ${event.reason}`
  return `renamed: ${event.path} is ${event.target} here: ${event.reason}`
}

function reportText(report: ExtractReport, target: string): string {
  const { files, directories, links, hardLinks, streams, streamsNotKept, bytes, seconds, errors, skipped } = report
  const counted = (count: number, one: string, many: string) =>
    count === 0 ? [] : [`${count} ${count === 1 ? one : many}`]
  const copied = [
    ...counted(files + hardLinks, 'file', 'files'),
    ...counted(directories, 'folder', 'folders'),
    ...counted(links, 'link', 'links'),
    ...counted(streams, 'stream', 'streams'),
  ]
  return [
    `${target}: ${copied.join(', ') || 'nothing'} copied, ${formatSize(bytes)} in ${duration(seconds)}, ${formatSize(bytes / Math.max(seconds, 0.001))}/s`,
    ...counted(errors, 'entry could not be copied', 'entries could not be copied'),
    ...counted(skipped, 'entry was left out', 'entries were left out'),
    ...counted(
      streamsNotKept,
      'named stream was not copied: see --streams',
      'named streams were not copied: see --streams',
    ),
  ].join('\n')
}
