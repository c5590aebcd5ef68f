/** Tables for people. In a file of its own: what draws them takes longer to load than most commands to run. */
import Table from 'cli-table3'

/** Rows under headings, without lines between them. Numbers are set right by giving their column in `right`. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string {
  const none = [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
  ]
  const lines = [...none, 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid']
  const grid = new Table({
    head: [...head],
    chars: { ...Object.fromEntries(lines.map(name => [name, ''])), middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
    colAligns: head.map((_, column) => (right.includes(column) ? 'right' : 'left')),
  })
  grid.push(...rows.map(row => [...row]))
  return grid.toString().replaceAll(/ +$/gm, '')
}
