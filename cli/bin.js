#!/usr/bin/env node
// From a checkout the TypeScript runs as it is, through tsx; what is installed from the registry is built, because tsx
// alone takes longer to start than most commands take to run.
import { existsSync } from 'node:fs'

const isCheckout = existsSync(new URL('main.ts', import.meta.url))
if (isCheckout) (await import('tsx/esm/api')).register()
const { main } = await import(isCheckout ? './main.ts' : '../dist/cli/main.js')
process.exitCode = await main(process.argv.slice(2))
