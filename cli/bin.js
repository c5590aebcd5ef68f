#!/usr/bin/env node
// From a checkout the TypeScript runs as it is, through tsx; what is installed is built, because tsx alone takes longer
// to start than most commands take to run. The version is asked for by scripts, so it loads nothing at all.
import { existsSync, readFileSync } from 'node:fs'

const here = path => new URL(path, import.meta.url)
const args = process.argv.slice(2)
if (args.length === 1 && ['--version', '-V'].includes(args[0])) {
  process.stdout.write(`${JSON.parse(readFileSync(here('../package.json'), 'utf8')).version}\n`)
} else {
  const isCheckout = existsSync(here('main.ts'))
  if (isCheckout) (await import('tsx/esm/api')).register()
  const { main } = await import(isCheckout ? './main.ts' : '../dist/cli/main.js')
  process.exitCode = await main(args)
}
