# What the scripts here share: a sparse disk in a temporary folder, its partitions as loop devices, and packing.
# shellcheck shell=sh
work=$(mktemp -d)
device=
mounted=
clean_up() {
  cd /
  [ -z "$mounted" ] || umount "$work/mount"
  [ -z "$device" ] || losetup --detach "$device"
  rm -r "$work"
}
trap clean_up EXIT
samples=$(cd .. && pwd)

# new_disk NAME SIZE: an empty disk, $disk.
new_disk() {
  name=$1
  disk=$work/$name.raw
  truncate --size "$2" "$disk"
}

# attach START LENGTH [SECTOR_SIZE]: the partition at START MiB as $device.
attach() {
  device=$(losetup --find --show --offset $(($1 * 1048576)) --sizelimit $(($2 * 1048576)) --sector-size "${3:-512}" "$disk")
}

detach() {
  losetup --detach "$device"
  while [ -e "/sys/block/${device#/dev/}/loop/backing_file" ]; do sleep 0.1; done
  device=
}

# Mounts $device and goes there.
mount_ntfs() {
  mkdir -p "$work/mount"
  ntfs-3g "$device" "$work/mount"
  mounted=yes
  cd "$work/mount"
}

unmount_ntfs() {
  cd "$samples/make"
  umount "$work/mount"
  mounted=
}

# Packs the disk beside the other samples.
pack() {
  node "$samples/packing.js" pack "$disk" "$name"
  ls -l "$samples/$name.raw.br"
}
