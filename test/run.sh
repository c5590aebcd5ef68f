#!/bin/sh
# Sets up what the tests need on a Debian machine with Node, and runs them. Arguments go to vitest.
# Tools are installed where that is allowed (as root, or with a sudo that asks nothing). What cannot be installed stays
# missing, and the tests that need it are skipped with the reason, or fail where CI is set.
set -eu
cd "$(dirname "$0")/.."

tools='
  attr g++ make python3 xz-utils
  7zip btrfs-progs dosfstools exfat-fuse exfatprogs fdisk fuse3 gdisk libvhdi-utils mtools ntfs-3g partclone qemu-utils sleuthkit wimtools xfsprogs
  grub-common grub-efi-amd64-bin grub-pc-bin ovmf qemu-system-x86 wine64
'

missing=
for tool in $tools; do
  dpkg-query --show --showformat='${Status}' "$tool" 2>/dev/null | grep -q 'ok installed' || missing="$missing $tool"
done

as_root=
[ "$(id -u)" = 0 ] || as_root='sudo -n'
if [ -n "$missing" ] && command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
  install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends"
  $as_root apt-get update --quiet || true
  # Together if they are all there; else each by itself, since Debian releases differ in what they have.
  $install $missing || for tool in $missing; do $install "$tool" || echo "$tool could not be installed"; done
elif [ -n "$missing" ]; then
  echo "Not installed, and not allowed to:$missing"
fi

[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci
exec npm test -- "$@"
