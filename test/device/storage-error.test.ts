import { describe, expect, test } from 'vitest'
import { storageError } from '../../lib/device/storage-error.ts'
import { DiskImageError } from '../../lib/errors.ts'

const system = (code: string, errno = -1) =>
  Object.assign(new Error(`${code}: something`), { code, errno, syscall: 'read' })
const read = { verb: 'read', path: '/dev/sdx', position: 4096, length: 512 } as const
const write = { verb: 'write', path: 'out.vhdx', position: 8192, length: 512 } as const
const open = { verb: 'open', path: 'out.vhdx' } as const

describe('storageError', () => {
  test.each([
    ['ENOENT', open, 'NotFoundError', 'NOT_FOUND'],
    ['ENOTDIR', open, 'NotFoundError', 'NOT_FOUND'],
    ['EACCES', open, 'StorageError', 'NOT_PERMITTED'],
    ['EPERM', write, 'StorageError', 'NOT_PERMITTED'],
    ['EROFS', open, 'ReadOnlyError', 'READ_ONLY_MEDIUM'],
    ['EEXIST', open, 'RefusedError', 'FILE_EXISTS'],
    ['ENOSPC', write, 'StorageError', 'NO_SPACE'],
    ['EDQUOT', write, 'StorageError', 'NO_SPACE'],
    ['Unknown system error -122', write, 'StorageError', 'NO_SPACE'],
    ['EFBIG', write, 'StorageError', 'FILE_TOO_LARGE'],
    ['EIO', read, 'StorageError', 'READ_ERROR'],
    ['EIO', write, 'StorageError', 'WRITE_ERROR'],
    ['ENODATA', read, 'StorageError', 'READ_ERROR'],
    ['ENXIO', read, 'StorageError', 'DEVICE_GONE'],
    ['ENODEV', write, 'StorageError', 'DEVICE_GONE'],
    ['Unknown system error -123', open, 'StorageError', 'DEVICE_GONE'],
    ['EISDIR', open, 'UnsupportedError', 'NOT_A_DISK'],
    ['EBUSY', open, 'BusyError', 'IN_USE'],
    ['UNKNOWN', read, 'StorageError', 'IO_ERROR'],
    ['EMFILE', open, 'StorageError', 'IO_ERROR'],
  ])('%s of %o is a %s %s', (systemCode, attempt, name, code) => {
    const cause = system(systemCode)
    const error = storageError(cause, attempt) as DiskImageError
    expect(error).toBeInstanceOf(DiskImageError)
    expect(error).toMatchObject({ name, code, cause, details: { ...attempt, systemCode } })
    expect(error.message).toContain(attempt.path)
    expect(error.message).toContain(systemCode)
  })

  test('says where', () => {
    const { message } = storageError(system('EIO'), read) as Error
    expect(message).toBe('cannot read 512 bytes at byte 4096 of /dev/sdx: the medium could not be read there (EIO)')
  })

  test('leaves alone what is not an error of the system', () => {
    for (const error of [new TypeError('bug'), new DiskImageError('X', 'known'), 'text', undefined]) {
      expect(storageError(error, read)).toBe(error)
    }
  })
})
