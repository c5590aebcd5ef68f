import { describe, expect, test } from 'vitest'
import { isShadowCopy, windowsName } from '../../lib/device/windows-path.ts'

const ROOT = '\\\\?\\GLOBALROOT\\'
const GUID = '8d3c91f4-0a2b-4c5d-9e6f-112233445566'

describe('windowsName', () => {
  test.each([
    ['\\\\.\\PhysicalDrive0', 'disk', `${ROOT}Device\\Harddisk0\\Partition0`, '\\\\.\\PhysicalDrive0'],
    ['\\\\?\\physicaldrive12', 'disk', `${ROOT}Device\\Harddisk12\\Partition0`, '\\\\.\\physicaldrive12'],
    ['//./PhysicalDrive3', 'disk', `${ROOT}Device\\Harddisk3\\Partition0`, '\\\\.\\PhysicalDrive3'],
    ['\\\\.\\PHYSICALDRIVE1\\', 'disk', `${ROOT}Device\\Harddisk1\\Partition0`, '\\\\.\\PHYSICALDRIVE1'],
    ['\\\\.\\C:', 'volume', `${ROOT}GLOBAL??\\C:`, '\\\\.\\C:'],
    ['\\\\.\\d:\\', 'volume', `${ROOT}GLOBAL??\\d:`, '\\\\.\\d:'],
    [`\\\\?\\Volume{${GUID}}`, 'volume', `${ROOT}GLOBAL??\\Volume{${GUID}}`, `\\\\.\\Volume{${GUID}}`],
    [`\\\\?\\Volume{${GUID}}\\`, 'volume', `${ROOT}GLOBAL??\\Volume{${GUID}}`, `\\\\.\\Volume{${GUID}}`],
    ['\\\\.\\HarddiskVolume3', 'volume', `${ROOT}Device\\HarddiskVolume3`, '\\\\.\\HarddiskVolume3'],
  ])('%s is a %s', (path, kind, first, second) => {
    expect(windowsName(path)).toEqual({ kind, paths: [first, Buffer.from(second)] })
  })

  test.each([
    [`${ROOT}Device\\Harddisk0\\Partition0`, 'disk'],
    [`${ROOT}Device\\Harddisk7\\DR7`, 'disk'],
    [`${ROOT}Device\\Harddisk0\\Partition2`, 'volume'],
    [`${ROOT}Device\\HarddiskVolume3`, 'volume'],
    [`${ROOT}Device\\HarddiskVolumeShadowCopy12`, 'volume'],
    ['\\\\.\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy12', 'volume'],
    [`${ROOT}GLOBAL??\\C:`, 'volume'],
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
