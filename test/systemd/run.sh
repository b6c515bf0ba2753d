#!/usr/bin/env bash
# Boots a small Debian 12 with the executable, and proves there that the unit does what systemd/README.md says.
# usage: sudo test/systemd/run.sh [EXECUTABLE]   (dist/imagesvc by default; ACCELERATION=kvm where that works)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

executable=$(realpath "${1:-dist/imagesvc}")
acceleration=${ACCELERATION:-tcg,thread=multi}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/imagesvc-systemd
packages=systemd-sysv,dbus,linux-image-cloud-amd64,initramfs-tools,udev,kmod,procps,libstdc++6,ca-certificates,curl,jq

fail() {
  echo "$*" >&2
  exit 1
}

((EUID == 0)) || fail "an image with files of several users needs root: sudo $0"
[[ -x $executable ]] || fail "there is no executable $executable: bun run build"
for tool in mmdebstrap qemu-system-x86_64 mke2fs; do
  command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install mmdebstrap qemu-system-x86 e2fsprogs"
done

work=$(mktemp -d)
machine=
trap '[[ -z $machine ]] || kill "$machine" 2>/dev/null || true; rm -rf "$work"' EXIT

# The host's disk, made once: delete the folder to have it made anew.
make_disk() {
  local root=$work/root disk=$work/disk
  mkdir -p "$cache" "$disk"
  timeout 15m mmdebstrap --variant=minbase --include="$packages" bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"}
  mv "$root"/boot/vmlinuz-* "$disk/kernel"
  mv "$root"/boot/initrd.img-* "$disk/initrd"
  echo proof >"$root/etc/hostname"
  echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
  install -m 0644 test/systemd/proof.service "$root/etc/systemd/system/"
  chroot "$root" systemctl enable proof.service
  chroot "$root" systemctl mask serial-getty@ttyS1.service
  mke2fs -q -t ext4 -d "$root" "$disk/root.ext4" 8G
  mv "$disk"/* "$cache/"
}
[[ -f $cache/root.ext4 ]] || make_disk

# What is tried, on a disk of its own.
mkdir "$work/tried"
install -m 0755 "$executable" "$work/tried/imagesvc"
cp test/systemd/proof.sh systemd/imagesvc.service docs/docs-page-desktop.png "$work/tried/"
mke2fs -q -t ext4 -d "$work/tried" "$work/tried.ext4" 512M

# The first serial line is the console, the second what the proof says.
timeout --kill-after=10s 30m qemu-system-x86_64 \
  -accel "$acceleration" -cpu max -smp 2 -m 3072 -nic none -display none -monitor none \
  -kernel "$cache/kernel" -initrd "$cache/initrd" \
  -append "root=/dev/vda rw console=ttyS0 quiet" \
  -drive "file=$cache/root.ext4,if=virtio,format=raw,snapshot=on" \
  -drive "file=$work/tried.ext4,if=virtio,format=raw,readonly=on" \
  -serial "file:$work/console" -serial "file:$work/proof" &
machine=$!
touch "$work/proof"
tail --pid="$machine" -n +1 -f "$work/proof" | sed -u 's,\r,,'
wait "$machine" || echo "the machine did not end by itself" >&2
machine=
if ! grep -q '^every step passed' "$work/proof"; then
  tail -n 20 "$work/console" >&2
  fail "the proof failed"
fi
