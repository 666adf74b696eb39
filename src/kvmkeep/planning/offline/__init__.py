"""Disks that nobody uses: looked into, changed, copied from and to."""
