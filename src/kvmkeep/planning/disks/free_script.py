"""What a guest's agent is asked to run before a disk is taken from it: whether anything uses it.

POSIX sh, and busybox's is enough. `$1` is the disk's serial. The file `/run/kvmkeep-free.SERIAL` is
there for half a minute once nothing was found, and what was found is in its `.log`. Linux lets go
of a disk that is in use without asking anybody, so what can't be seen counts as use.
"""

from __future__ import annotations

FREE_SCRIPT = r"""
PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
at=/run/kvmkeep-free.$1
rm -f $at
exec >$at.log 2>&1
used() {
  echo "$1"
  exit
}
disk=
for sys in /sys/block/*; do
  name=${sys##*/}
  [ "$(cat $sys/serial 2>/dev/null)" = "$1" ] ||
    [ "$(readlink -f /dev/disk/by-id/*_"$1")" = /dev/$name ] || continue
  [ -z "$disk" ] || used "both $disk and $name may be the disk"
  disk=$name
done
[ -n "$disk" ] || used "no disk has the serial '$1'"
ls /proc/1/fd >/dev/null && cat /proc/1/mountinfo >/dev/null && cat /proc/swaps ||
  used "it can't be seen what others use"
for sys in /sys/block/$disk /sys/block/$disk/$disk*; do
  part=${sys##*/}
  [ -e $sys/dev ] || continue
  number=$(cat $sys/dev)
  [ -z "$(ls -A $sys/holders)" ] || used "$part is part of $(ls $sys/holders)"
  if grep -qs -e " $number " -e " /dev/$part " /proc/[0-9]*/mountinfo; then
    used "$part is mounted"
  fi
  if grep -q "^/dev/$part " /proc/swaps; then used "$part is swap"; fi
  for one in /sys/fs/btrfs/*/devices/$part; do
    [ ! -e $one ] || used "$part is part of a Btrfs"
  done
  open="block special file $(printf %x:%x ${number%:*} ${number#*:})"
  for process in /proc/[0-9]*; do
    said=$(stat -L -c '%F %t:%T' $process/fd/* 2>/dev/null)
    [ $? -lt 126 ] || used "it can't be seen which programs have it open"
    if echo "$said" | grep -qx "$open"; then
      used "the program $(cat $process/comm) has $part open"
    fi
  done
done
# The kernel reads the table again only of a disk that nothing has claimed: ZFS shows here alone.
if command -v blockdev; then
  blockdev --rereadpt /dev/$disk || used "the kernel says that $disk is in use"
fi
echo "nothing uses $disk"
: >$at
sleep 30
rm -f $at
"""
