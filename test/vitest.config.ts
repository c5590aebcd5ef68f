import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Node 20 has no `using`: lower it.
  oxc: { target: 'node20' },
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    reporters: ['default', './test/helpers/skip-reporter.ts'],
    // A Wine prefix in there has a link to the root of the file system.
    exclude: ['test/.cache/**'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
})
