#!/bin/sh
# A disk with sectors of 4096 bytes whose first GPT header is overwritten: the backup at its end has to serve.
# Needs root, loop devices, gdisk ntfs-3g. Writes ../broken-gpt-4kn.raw.br.
set -eu
cd "$(dirname "$0")"
. ./disk.sh
new_disk broken-gpt-4kn 48M

attach 0 48 4096
sgdisk --disk-guid 5a3b1e00-7d15-4c0d-9b6e-000000000005 \
  --new 1:256:11519 --typecode 1:0700 --change-name '1:Basic data partition' "$device" >/dev/null
detach

attach 1 44 4096
mkntfs -Q -q -F -L Native -p 256 -H 255 -S 63 "$device"
mount_ntfs
seq 1 4000 >numbers.txt
unmount_ntfs
detach

yes 'overwritten' | head -c 4096 | dd of="$disk" bs=4096 seek=1 conv=notrunc status=none
pack
