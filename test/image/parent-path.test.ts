import { expect, test } from 'vitest'
import { parsePath, suffixes } from '../../lib/image/parent-path.ts'

test.each([
  ['parent.vhdx', undefined, ['parent.vhdx']],
  ['.\\parent.vhdx', undefined, ['parent.vhdx']],
  ['..\\base\\.\\parent.vhdx', undefined, ['..', 'base', 'parent.vhdx']],
  ['./a//parent.vhd', undefined, ['a', 'parent.vhd']],
  ['C:\\VMs\\parent.vhdx', 'C:', ['VMs', 'parent.vhdx']],
  ['\\\\?\\d:\\VMs\\parent.vhdx', 'd:', ['VMs', 'parent.vhdx']],
  ['\\\\.\\d:\\parent.vhdx', 'd:', ['parent.vhdx']],
  [
    '\\\\?\\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\\parent.vhdx',
    'Volume{26a21bda-a627-11d7-9931-806e6f6e6963}',
    ['parent.vhdx'],
  ],
  ['\\\\?\\UNC\\server\\share\\a\\parent.vhdx', '\\\\server\\share', ['a', 'parent.vhdx']],
  ['\\\\server\\share\\parent.vhdx', '\\\\server\\share', ['parent.vhdx']],
  ['//server/share/parent.vhd', '\\\\server\\share', ['parent.vhd']],
  ['/mnt/parent.vhd', '', ['mnt', 'parent.vhd']],
  ['\\parent.vhd', '', ['parent.vhd']],
  ['C:parent.vhd', undefined, ['C:parent.vhd']],
  ['\\\\?\\GLOBALROOT\\Device\\x', '', ['?', 'GLOBALROOT', 'Device', 'x']],
  ['', undefined, []],
  ['\\\\', '', []],
])('%s', (text, root, names) => {
  expect(parsePath(text)).toEqual({ text, root, names })
})

test('the ends of a path, the longest first', () => {
  expect([...suffixes(parsePath('C:\\a\\b\\c.vhdx'))]).toEqual([['a', 'b', 'c.vhdx'], ['b', 'c.vhdx'], ['c.vhdx']])
  expect([...suffixes(parsePath('..\\b\\..\\c.vhdx'))]).toEqual([['c.vhdx']])
  expect([...suffixes(parsePath('..'))]).toEqual([])
  const deep = [...suffixes(parsePath('a\\'.repeat(20_000)))]
  expect(deep).toHaveLength(16)
  expect(deep.at(-1)).toEqual(['a'])
})
