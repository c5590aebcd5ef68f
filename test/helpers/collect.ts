/** All that an iteration gives, in a list. */
export async function collect<T>(iteration: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of iteration) list.push(item)
  return list
}
