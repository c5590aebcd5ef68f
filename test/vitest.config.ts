import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Node 20 has no `using`: lower it.
  oxc: { target: 'node20' },
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
})
