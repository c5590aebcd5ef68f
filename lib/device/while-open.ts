/** Closing what was written to, whatever became of the writing. */

/**
 * Does `work`, then closes `opened`. What `work` throws is what is told: that closing fails after it, as it does for a
 * medium that is full, hides nothing.
 */
export async function whileOpen<T>(opened: { close(): Promise<void> }, work: () => Promise<T>): Promise<T> {
  let result: T
  try {
    result = await work()
  } catch (error) {
    await opened.close().catch(() => {})
    throw error
  }
  await opened.close()
  return result
}
