/** An image as a reader finds it, before it gets its name. */
import type { FileDevice } from '../device/file-device.ts'
import { FormatError, StorageError } from '../errors.ts'
import type { Finding } from '../finding.ts'
import { readVhdStructures } from '../vhd/structures.ts'
import { checkVhdx } from '../vhdx/check.ts'

/** What is not as it should be with a VHDX that was just written. Throws StorageError (BAD_IMAGE_WRITTEN) for what makes it useless. */
export async function checkWrittenVhdx(file: FileDevice): Promise<readonly Finding[]> {
  const { problems } = await checkVhdx(file, { allocatedBytes: await file.allocatedBytes() })
  const error = problems.find(problem => problem.severity === 'error')
  if (error !== undefined) throw badImage(file, error)
  return problems.map(({ code, message }) => ({ code, message }))
}

/** The same of a VHD: its structures alone. */
export async function checkWrittenVhd(file: FileDevice): Promise<readonly Finding[]> {
  try {
    return (await readVhdStructures(file)).findings
  } catch (error) {
    throw error instanceof FormatError ? badImage(file, error) : error
  }
}

const badImage = ({ path }: FileDevice, error: { readonly message: string }) =>
  new StorageError('BAD_IMAGE_WRITTEN', `${path} did not come out right: ${error.message}. It was deleted`, { error })
