/**
 * Something a user should know that did not stop the work: a backup structure that was used, a cluster that two
 * records own, a table that counts wrong. `code` is stable and for programs; the message says what and where.
 */
export interface Finding {
  readonly code: string
  readonly message: string
  readonly details?: Readonly<Record<string, unknown>>
}
