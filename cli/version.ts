/** The version in package.json, which lies one folder up from the sources and two from what is built. */
import { existsSync, readFileSync } from 'node:fs'

export function packageVersion(): string {
  const places = ['../package.json', '../../package.json'].map(path => new URL(path, import.meta.url))
  const place = places.find(url => existsSync(url))
  return place === undefined ? 'unknown' : JSON.parse(readFileSync(place, 'utf8')).version
}
