#!/bin/sh
# Runs outside the new root, at the end of its making: host-setup.sh ROOT FILES KEYS
set -eu
root=$1 files=$2 keys=$3

tar -C "$files" -c --owner=0 --group=0 --exclude=__pycache__ . | tar -C "$root" -x --no-same-owner
chmod 755 "$root" "$root/etc" "$root/usr" "$root/usr/local" "$root/usr/local/sbin"
chmod 600 "$root"/etc/NetworkManager/system-connections/*
install -d -m 700 "$root/root/.ssh" "$root/root/kvm"
install -m 600 "$keys/login.pub" "$root/root/.ssh/authorized_keys"
rm -f "$root"/etc/ssh/ssh_host_*
install -m 600 "$keys/host" "$root/etc/ssh/ssh_host_ed25519_key"
install -m 644 "$keys/host.pub" "$root/etc/ssh/ssh_host_ed25519_key.pub"
mkdir -p "$root/srv/images" "$root/etc/systemd/system/serial-getty@ttyS0.service.d"
cat > "$root/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf" <<'EOF'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --noclear --keep-baud 115200 %I vt220
EOF
printf '%s\n' 'PS1="\h:\w# "' 'export LIBGUESTFS_PATH=/usr/local/lib/guestfs LIBGUESTFS_BACKEND=direct' > "$root/root/.bashrc"
dd if=/dev/urandom bs=16 count=1 2>/dev/null | od -An -tx1 | tr -d ' \n' > "$root/etc/machine-id"
echo >> "$root/etc/machine-id"

chroot "$root" systemctl -q enable campus.service NetworkManager.service ssh.service libvirtd.service serial-getty@ttyS0.service
chroot "$root" systemctl -q disable NetworkManager-wait-online.service systemd-networkd.service
chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer man-db.timer mdcheck_start.timer mdcheck_continue.timer mdmonitor-oneshot.timer \
    getty@tty1.service systemd-pstore.service dnsmasq.service xfs_scrub_all.timer
# libguestfs boots a small appliance for each inspection: make it now, it takes minutes under emulation.
chroot "$root" sh -c 'mkdir -p /usr/local/lib/guestfs
    supermin --build --copy-kernel -f ext2 --host-cpu x86_64 /usr/lib/x86_64-linux-gnu/guestfs/supermin.d -o /usr/local/lib/guestfs
    touch /usr/local/lib/guestfs/README.fixed'
chroot "$root" update-initramfs -u -k all
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/*_* "$root"/var/cache/debconf/*-old
