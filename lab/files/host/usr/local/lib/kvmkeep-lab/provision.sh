#!/bin/sh
# Runs once, on the first boot: the RAID, the volume group and the volumes of the operating system.
set -eu
mdadm --create /dev/md0 --level=1 --raid-devices=2 --metadata=1.2 --bitmap=internal --assume-clean --run \
    --uuid=6b766d6b:65657000:6c616200:6d643000 --name=0 --homehost=build \
    /dev/disk/by-id/virtio-ssd-a /dev/disk/by-id/virtio-ssd-b
pvcreate -q /dev/md0
vgcreate -q rl_build /dev/md0
for name in root home opt; do
    size=64M; [ "$name" = root ] && size=128M
    lvcreate -q -y -Wy -L "$size" -n "$name" rl_build
    tree=$(mktemp -d)
    python3 /usr/local/lib/kvmkeep-lab/content.py "$name" "$tree"
    mke2fs -q -t ext4 -L "$name" -d "$tree" -E lazy_itable_init=1 "/dev/rl_build/$name"
    rm -r "$tree"
done
echo '/dev/rl_build/home /home ext4 ro,noload,nofail 0 0' >> /etc/fstab
systemctl daemon-reload
mount /home
sync
lab-os-volumes show > /etc/kvmkeep-lab/os-volumes
sync
