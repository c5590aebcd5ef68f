import { win32 } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isShadowCopy, windowsName } from '../../lib/device/windows-path.ts'

const ROOT = '\\\\?\\GLOBALROOT\\'
const GUID = '8d3c91f4-0a2b-4c5d-9e6f-112233445566'

describe('windowsName', () => {
  test.each([
    ['\\\\.\\PhysicalDrive0', 'disk', ['Device\\Harddisk0\\Partition0', 'GLOBAL??\\PhysicalDrive0']],
    ['\\\\?\\physicaldrive12', 'disk', ['Device\\Harddisk12\\Partition0', 'GLOBAL??\\physicaldrive12']],
    ['//./PhysicalDrive3', 'disk', ['Device\\Harddisk3\\Partition0', 'GLOBAL??\\PhysicalDrive3']],
    ['\\\\.\\PHYSICALDRIVE1\\', 'disk', ['Device\\Harddisk1\\Partition0', 'GLOBAL??\\PHYSICALDRIVE1']],
    ['\\\\.\\HarddiskVolume3', 'volume', ['Device\\HarddiskVolume3', 'GLOBAL??\\HarddiskVolume3']],
    ['\\\\.\\C:', 'volume', ['GLOBAL??\\C:']],
    ['\\\\.\\d:\\', 'volume', ['GLOBAL??\\d:']],
    [`\\\\?\\Volume{${GUID}}`, 'volume', [`GLOBAL??\\Volume{${GUID}}`]],
    [`\\\\?\\Volume{${GUID}}\\`, 'volume', [`GLOBAL??\\Volume{${GUID}}`]],
  ])('%s is a %s', (path, kind, objects) => {
    const bare = objects.at(-1)!.replace('GLOBAL??\\', '\\\\.\\')
    const paths = objects.map(object => ROOT + object)
    expect(windowsName(path)).toEqual({ kind, paths: [...paths, Buffer.from(bare)] })
    // What this version of Node makes of them.
    expect(paths.map(name => win32.toNamespacedPath(name))).toEqual(paths)
  })

  test.each([
    [`${ROOT}Device\\Harddisk0\\Partition0`, 'disk'],
    [`${ROOT}Device\\Harddisk7\\DR7`, 'disk'],
    [`${ROOT}Device\\Harddisk0\\Partition2`, 'volume'],
    [`${ROOT}Device\\HarddiskVolume3`, 'volume'],
    [`${ROOT}Device\\HarddiskVolumeShadowCopy12`, 'volume'],
    ['\\\\.\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy12', 'volume'],
    [`${ROOT}GLOBAL??\\C:`, 'volume'],
    [`${ROOT}GLOBAL??\\HarddiskVolume3`, 'volume'],
    [`${ROOT}GLOBAL??\\PhysicalDrive0`, 'disk'],
  ])('%s comes through: a %s', (path, kind) => {
    expect(windowsName(path)).toEqual({ kind, paths: [path] })
    expect(windowsName(`${path}\\`)).toEqual({ kind, paths: [path] })
    expect(windowsName(path.replaceAll('\\', '/'))).toEqual({ kind, paths: [path] })
  })

  test.each([
    'disk.raw',
    'PhysicalDrive0',
    'C:\\images\\PhysicalDrive0',
    'C:',
    'C:\\',
    '\\\\server\\share\\disk.vhdx',
    '\\\\?\\C:\\images\\disk.vhdx',
    '\\\\.\\C:\\images\\disk.vhdx',
    '\\\\?\\UNC\\server\\share\\disk.vhdx',
    `\\\\?\\Volume{${GUID}}\\images\\disk.vhdx`,
    '\\\\?\\Volume{short}',
    `${ROOT}Device\\HarddiskVolumeShadowCopy3\\images\\disk.vhdx`,
    `${ROOT}Device\\HarddiskVolume3\\disk.vhdx`,
    '\\\\.\\PhysicalDrive',
    '\\\\.\\PhysicalDrive0x',
    '\\\\.\\nul',
    '/home/me/disk.raw',
    './\\disk.raw',
    '',
  ])('the file %s comes through as it is', path => {
    expect(windowsName(path)).toEqual({ kind: 'file', paths: [path] })
  })
})

test('a shadow copy is told from a volume and from a file in a shadow copy', () => {
  expect(isShadowCopy(`${ROOT}Device\\HarddiskVolumeShadowCopy3`)).toBe(true)
  expect(isShadowCopy('//?/GLOBALROOT/Device/HarddiskVolumeShadowCopy3/')).toBe(true)
  expect(isShadowCopy(`${ROOT}Device\\HarddiskVolume3`)).toBe(false)
  expect(isShadowCopy(`${ROOT}Device\\HarddiskVolumeShadowCopy3\\disk.raw`)).toBe(false)
})
