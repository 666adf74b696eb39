#!/bin/sh
# Runs outside the new root, at the end of its making: setup.sh ROOT FILES
set -eu
root=$1 files=$2
cp "$files/90_lab.cfg" "$root/etc/cloud/cloud.cfg.d/90_lab.cfg"
cp "$files/initramfs.conf" "$root/etc/initramfs-tools/conf.d/lab.conf"
printf '%s\n' virtio_pci virtio_blk virtio_scsi sd_mod sr_mod isofs > "$root/etc/initramfs-tools/modules"
echo 'LABEL=cloud-root / ext4 rw,discard,errors=remount-ro 0 1' > "$root/etc/fstab"
echo localhost > "$root/etc/hostname"
echo '127.0.0.1 localhost' > "$root/etc/hosts"
printf 'auto lo\niface lo inet loopback\nsource-directory /etc/network/interfaces.d\n' > "$root/etc/network/interfaces"
chroot "$root" usermod --lock root
chroot "$root" systemctl -q enable serial-getty@ttyS0.service
chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer man-db.timer getty@tty1.service systemd-pstore.service systemd-update-utmp.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount systemd-update-utmp-runlevel.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount
chroot "$root" update-initramfs -u -k all
rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/systemd/random-seed "$root"/var/lib/dbus/machine-id
rm -rf "$root"/var/log/* "$root"/var/cache/* "$root"/var/lib/apt/lists/* "$root"/tmp/* "$root"/var/tmp/* "$root"/run/*
rm -f "$root"/etc/*- "$root"/var/lib/dpkg/*-old "$root"/etc/.pwd.lock "$root"/etc/resolv.conf
find "$root/usr/lib/python3" "$root/usr/lib/python3.11" -name '*.pyc' -delete
# What compileall imports itself must not be written by the import: that differs from run to run.
chroot "$root" env PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 sh -c 'python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.11 || true'
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/log/apt" "$root/var/lib/apt/lists/partial" "$root/boot/grub"
: > "$root/etc/machine-id"
cat > "$root/boot/grub/grub.cfg" <<EOF
set timeout=0
linux $(cd "$root" && ls boot/vmlinuz-* | sed "s|^|/|") root=LABEL=cloud-root ro console=tty0 console=ttyS0,115200 loglevel=4 mitigations=off
initrd $(cd "$root" && ls boot/initrd.img-* | sed 's|^|/|')
boot
EOF
