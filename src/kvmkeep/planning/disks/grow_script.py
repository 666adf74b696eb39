"""What a guest's agent is asked to run when a disk has grown: partition, then filesystem.

POSIX sh, and busybox's is enough. `$1` is the disk's serial (may be empty), `$2` its new size in
bytes, `$3` names the files that tell how it ended: `.grown` only where the filesystem or the LVM
physical volume was seen to have the room, or where nothing lies there yet; `.ended` in any case.
"""

from __future__ import annotations

GROW_SCRIPT = r"""
PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
at=/run/kvmkeep-grow.$3
exec >$at.log 2>&1
end() {
  echo "$1"
  [ "$2" = good ] && : >$at.grown
  : >$at.ended
  exit
}
disk=
for sys in /sys/block/*; do
  name=${sys##*/}
  if [ -n "$1" ]; then
    [ "$(cat $sys/serial 2>/dev/null)" = "$1" ] ||
      [ "$(readlink -f /dev/disk/by-id/*_"$1")" = /dev/$name ] || continue
  else
    [ "$(cat $sys/size)" = $(($2 / 512)) ] || continue
  fi
  [ -z "$disk" ] || end "both $disk and $name may be the disk" bad
  disk=$name
done
[ -n "$disk" ] || end "no disk has the serial '$1'; or without one, $2 bytes" bad
tries=0
until [ "$(cat /sys/block/$disk/size)" -ge $(($2 / 512)) ]; do
  tries=$((tries + 1))
  [ $tries -lt 30 ] || end "the kernel still sees the old size of $disk" bad
  sleep 1
done
part= last=-1
for sys in /sys/block/$disk/$disk*; do
  [ -e $sys/partition ] && [ $(cat $sys/start) -gt $last ] || continue
  part=${sys##*/} last=$(cat $sys/start)
done
if [ -n "$part" ]; then
  number=$(cat /sys/block/$disk/$part/partition)
  if command -v growpart; then
    growpart /dev/$disk $number
    [ $? -le 1 ] || end "growpart could not grow $part" bad
  else
    # Without its size, sfdisk gives a partition all that is free behind it.
    sfdisk --dump /dev/$disk >$at.table || end "the partition table of $disk can't be read" bad
    sed -e '/^last-lba:/d' -e "\,^/dev/$part ,s/ size= *[0-9]*,//" $at.table |
      sfdisk --force --no-reread --no-tell-kernel /dev/$disk &&
      partx --update --nr $number /dev/$disk || end "$part can't be made larger" bad
  fi
  # Neither tells that a logical partition stays as it is, or one of an MBR below 2 TiB.
  behind=$((last + $(cat /sys/block/$disk/$part/size)))
  [ $((behind + 32768)) -ge $(cat /sys/block/$disk/size) ] ||
    end "$part still ends before the end of $disk: nothing in it can have the room" bad
fi
dev=/dev/${part:-$disk}
kind= where=
number=$(cat /sys/class/block/${dev##*/}/dev)
while read -r _ _ device _ point rest; do
  case "$device $rest " in
    "$number "* | *" - btrfs $dev "*)
      where=$(printf %b "$point") kind=${rest#*- }
      kind=${kind%% *}
      break
      ;;
  esac
done </proc/self/mountinfo
if [ -z "$where" ]; then
  command -v blkid || end "$dev is not mounted, and there is no blkid to tell what is on it" bad
  kind=$(blkid $dev | sed -n 's/.* TYPE="\([^"]*\)".*/\1/p')
fi
case $kind in
  ext2 | ext3 | ext4)
    [ -n "$where" ] || e2fsck -f -p $dev
    resize2fs $dev || end "resize2fs could not grow $dev" bad
    ;;
  xfs)
    [ -n "$where" ] || end "$dev is XFS, which grows only while it is mounted" bad
    xfs_growfs "$where" || end "xfs_growfs could not grow $where" bad
    ;;
  btrfs)
    [ -n "$where" ] || end "$dev is Btrfs, which grows only while it is mounted" bad
    btrfs filesystem resize max "$where" || end "btrfs could not grow $where" bad
    ;;
  LVM2_member)
    pvresize $dev || end "pvresize could not grow $dev" bad
    end "the physical volume $dev is larger; which LV gets the room is the guest's matter" good
    ;;
  "") end "nothing is on $dev yet" good ;;
  *) end "$dev is larger, but what is on it does not grow by itself: $kind" bad ;;
esac
[ -n "$where" ] || end "$dev is larger" good
room=$(df -P -k "$where" | tail -n 1 | sed 's/^[^ ]* *\([0-9]*\) .*/\1/')
[ $((room * 10)) -ge $(($(cat /sys/class/block/${dev##*/}/size) * 7 / 2)) ] ||
  end "$where has only $room KiB" bad
end "$where has $room KiB" good
"""
