"""Whose a backup is. A rename keeps a guest's identity; its older backups keep the name it had."""

from __future__ import annotations

from kvmkeep.model.backup import BackupEntry
from kvmkeep.model.spec import Guest, Spec


def owner(spec: Spec, entry: BackupEntry) -> Guest | None:
    """Return the guest of the spec that a backup is of, whatever it was called then."""
    return next((one for one in spec.guests if one.identity == entry.identity), None)


def is_meant(spec: Spec, entry: BackupEntry, name: str) -> bool:
    """Whether a guest's name means a backup.

    That of a guest of the spec means its own, under whatever name they are stored, and never those
    of another guest that was called so. Another name means those that are stored under it.
    """
    guest = spec.guest(name)
    return entry.guest == name if guest is None else entry.identity == guest.identity


def name_to_type(spec: Spec, entry: BackupEntry) -> str:
    """Return the name that means a backup."""
    guest = owner(spec, entry)
    return entry.guest if guest is None else guest.name
