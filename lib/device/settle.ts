/** Several requests that are one piece of work: that fill one buffer, or close what was opened together. */

/**
 * Waits for all of `requests`, also when one has failed, and throws what the first of them in the list failed with.
 * `Promise.all` would leave the others under way: they go on filling a buffer whose owner has it back and may use it for
 * something else.
 */
export async function settle(requests: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(requests)
  const failed = results.find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
