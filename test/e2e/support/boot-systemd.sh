#!/bin/sh
# Boots systemd as the first process of namespaces of its own, over the files of this machine: what it writes is gone with it. Its network is
# this machine's. As root: boot-systemd.sh FOLDER, an empty one.
set -eu

if [ "${2:-}" != inside ]; then
  [ "${2:-}" = mounted ] || exec unshare --mount --propagation private -- sh "$0" "$1" mounted
  mount -t tmpfs tmpfs "$1"
  mkdir "$1/upper" "$1/work" "$1/root" "$1/control"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
  # A control group of its own is the root of those that it makes.
  mount -t cgroup2 cgroup2 "$1/control"
  group=$1/control/crypto-edge-test-$$
  mkdir "$group"
  sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec setpriv --pdeathsig KILL -- "$@"' sh "$group" \
    unshare --mount --pid --fork --kill-child --cgroup --uts --ipc -- sh "$0" "$1" inside || true
  find "$group" -depth -type d -exec rmdir {} +
  exit
fi

root=$1/root
umount "$1/control"
mount -t proc proc "$root/proc"
# As in any container: what belongs to the whole machine can't be changed.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
for unit in sockets.target timers.target systemd-journald-audit.socket systemd-modules-load.service modprobe@.service dev-hugepages.mount; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# Without one it would take this for the machine's first start, and enable whatever there is.
[ -s "$root/etc/machine-id" ] || tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
# In a container systemd leaves this to whoever made it; credentials of services are mounted so.
mount --make-rshared "$root"
exec env -i container=crypto-edge-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  chroot "$root" /lib/systemd/systemd --log-target=journal --unit=basic.target
