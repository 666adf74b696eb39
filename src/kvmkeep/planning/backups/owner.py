"""Whose a backup is. A rename keeps a guest's identity; its older backups keep the name it had."""

from __future__ import annotations

from kvmkeep.model.backup import BackupEntry, Fragment, RepositoryFacts
from kvmkeep.model.spec import Guest, Spec


def owner(spec: Spec, entry: BackupEntry) -> Guest | None:
    """Return the guest of the spec that a backup is of, whatever it was called then."""
    return next((one for one in spec.guests if one.identity == entry.identity), None)


def identity_of(spec: Spec, name: str) -> str:
    """Return the identity of the guest that a name means; of none of the spec, most have theirs."""
    guest = spec.guest(name)
    return name if guest is None else guest.identity


def stored_in(seen: RepositoryFacts) -> tuple[BackupEntry | Fragment, ...]:
    """Return all that a repository has of backups, whole or not."""
    return (*seen.entries, *seen.fragments)


def is_meant(spec: Spec, stored: BackupEntry | Fragment, name: str) -> bool:
    """Whether a guest's name means a backup, or what is left of one.

    That of a guest of the spec means its own, under whatever name they are stored, and never those
    of another guest that was called so. Another name means those that are stored under it.
    """
    guest = spec.guest(name)
    return stored.guest == name if guest is None else _identity(spec, stored) == guest.identity


def _identity(spec: Spec, stored: BackupEntry | Fragment) -> str:
    """Return whose it is; what does not tell is of who has its name now, or was born with it."""
    if stored.identity:
        return stored.identity
    now = spec.guest(stored.guest)
    return stored.guest if now is None else now.identity


def name_to_type(spec: Spec, entry: BackupEntry) -> str:
    """Return the name that means a backup."""
    guest = owner(spec, entry)
    return entry.guest if guest is None else guest.name
