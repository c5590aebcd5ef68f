#!/bin/sh
# The main jobs on a disk that ships here: captures it, checks the image, shows what is in it and copies files out. All it
# needs is Node.
set -eu
cd "$(dirname "$0")/.."
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci

rm -rf samples/build
mkdir samples/build
node samples/packing.js unpack windows-gpt samples/build/disk.raw

cd samples/build
vhdx() {
  printf '\n$ vhdx %s\n' "$*"
  node ../../cli/bin.js "$@"
}
vhdx capture disk.raw backup.vhdx
vhdx check backup.vhdx
vhdx info backup.vhdx
vhdx map backup.vhdx
vhdx tree backup.vhdx /Users
vhdx cp -r backup.vhdx /Users out
