#!/bin/sh
# A disk as Windows lays it out, in small: ESP, reserved partition, NTFS with page file and deleted files, recovery.
# Needs root, loop devices, gdisk dosfstools mtools ntfs-3g. Writes ../windows-gpt.raw.br.
set -eu
cd "$(dirname "$0")"
. ./disk.sh
new_disk windows-gpt 80M

sgdisk --disk-guid 5a3b1e00-7d15-4c0d-9b6e-000000000001 \
  --new 1:0:+12M --typecode 1:ef00 --change-name '1:EFI system partition' \
  --new 2:0:+16M --typecode 2:0c01 --change-name '2:Microsoft reserved partition' \
  --new 3:0:+40M --typecode 3:0700 --change-name '3:Basic data partition' \
  --new 4:0:+10M --typecode 4:2700 --change-name '4:Recovery' "$disk" >/dev/null

attach 1 12
mkfs.fat -F 16 -n SYSTEM -i 5a3b1e01 -h 2048 "$device" >/dev/null
mmd -i "$device" ::EFI ::EFI/Boot
echo 'not really a boot loader' | mcopy -i "$device" - ::EFI/Boot/bootx64.efi
detach

attach 29 40
mkntfs -Q -q -F -L Windows -p 59392 -H 255 -S 63 "$device"
mount_ntfs
mkdir -p Users/Ada Windows/System32
yes 'what was here before, and was deleted' | head -c 5M >Users/Ada/deleted.txt
yes 'memory of a machine that runs no more' | head -c 3M >pagefile.sys
yes 'more of it' | head -c 1M >swapfile.sys
seq 1 3000 >Users/Ada/numbers.txt
echo 'Good morning.' >Users/Ada/note.txt
head -c 300000 /dev/zero | tr '\0' 'w' >Windows/System32/kernel.bin
sync
rm Users/Ada/deleted.txt
unmount_ntfs
detach

attach 69 10
mkntfs -Q -q -F -L Recovery -p 141312 -H 255 -S 63 "$device"
detach

pack
