#!/bin/sh
# A disk partitioned as before GPT: an active FAT32 partition, and an extended one that holds FAT16, exFAT and NTFS.
# Needs root, loop devices, fdisk dosfstools mtools exfatprogs ntfs-3g. Writes ../extended-mbr.raw.br.
set -eu
cd "$(dirname "$0")"
. ./disk.sh
new_disk extended-mbr 80M

sfdisk --quiet "$disk" <<'TABLE'
label: dos
label-id: 0x5a3b1e02
start=2048, size=69632, type=c, bootable
start=71680, size=92160, type=f
start=73728, size=16384, type=6
start=92160, size=16384, type=7
start=110592, size=53248, type=7
TABLE

attach 1 34
mkfs.fat -F 32 -n DATA -i 5a3b1e03 -h 2048 "$device" >/dev/null
seq 1 2000 | mcopy -i "$device" - ::NUMBERS.TXT
yes 'what was here before, and was deleted' | head -c 1M | mcopy -i "$device" - ::DELETED.TXT
mdel -i "$device" ::DELETED.TXT
detach

attach 36 8
mkfs.fat -F 16 -s 1 -n OLD -i 5a3b1e04 -h 73728 "$device" >/dev/null
echo 'Good morning.' | mcopy -i "$device" - ::NOTE.TXT
detach

attach 45 8
mkfs.exfat -L CARD "$device" >/dev/null
detach

attach 54 26
mkntfs -Q -q -F -L More -p 110592 -H 255 -S 63 "$device"
mount_ntfs
seq 1 5000 >numbers.txt
unmount_ntfs
detach

pack
