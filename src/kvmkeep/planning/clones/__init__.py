"""Clones: new guests with copies of another one's disks."""
