/** Loop devices: files as block devices of the system. Tests that use them need 'loop' of tools.ts. */
import { run } from './tools.ts'

export interface LoopDevice extends AsyncDisposable {
  /** Such as /dev/loop0. */
  readonly path: string
}

/** A block device over the file `path`, until it is disposed of. */
export async function attachLoop(
  path: string,
  options: { readonly sectorSize?: number; readonly readOnly?: boolean } = {},
) {
  const args = ['--find', '--show', '--partscan']
  if (options.sectorSize !== undefined) args.push('--sector-size', String(options.sectorSize))
  if (options.readOnly === true) args.push('--read-only')
  const device = (await run('losetup', [...args, path])).stdout.trim()
  const loop: LoopDevice = {
    path: device,
    [Symbol.asyncDispose]: async () => void (await run('losetup', ['--detach', device])),
  }
  return loop
}
