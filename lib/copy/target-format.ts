/** Which form a disk is to be given: as the user says, or as the name of the file does. */
import { extname } from 'node:path'
import { OptionError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import type { ImageFormat } from '../image/open-image.ts'

const EXTENSIONS: Readonly<Record<string, ImageFormat>> = {
  '.vhdx': 'vhdx',
  '.avhdx': 'vhdx',
  '.vhd': 'vhd',
  '.avhd': 'vhd',
  '.raw': 'raw',
  '.img': 'raw',
  '.dd': 'raw',
  '.bin': 'raw',
}

const formatByName = (path: string) => EXTENSIONS[extname(path).toLowerCase()]

/** The form of the file at `path`. Throws OptionError (FORMAT_UNSAID) where neither `told` nor its name says. */
export function targetFormat(path: string, told: ImageFormat | undefined): ImageFormat {
  const format = told ?? formatByName(path)
  if (format !== undefined) return format
  const known = Object.keys(EXTENSIONS).join(', ')
  throw new OptionError(
    'FORMAT_UNSAID',
    `the name ${path} does not say what to write. Say it with --to vhdx, vhd or raw, or give a name that ends with one of ${known}`,
    { path },
  )
}

/** What Windows makes of the name: it goes by that, and by nothing else. */
export function nameFindings(path: string, format: ImageFormat): Finding[] {
  const named = formatByName(path)
  if (named === format || (format === 'raw' && named === undefined)) return []
  const [form, other] = [format.toUpperCase(), named?.toUpperCase()]
  const message = `${path} is a ${form}, and its name says ${other === undefined ? 'nothing' : `it were a ${other}`}: Windows attaches a file only by the name it should have`
  return [{ code: 'NAME_OF_OTHER_FORMAT', message, details: { path, format } }]
}
