"""The last backup of a guest may be where nobody can look just now: another one is none to take.

What is listed elsewhere may be of months ago, such as from before the guest got its repository.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from kvmkeep.model.backup import BackupEntry, BackupFacts, LastBackup, recency


def newer_unlisted(
    known: BackupFacts, listed: Collection[str], entry: BackupEntry, host: str, now: datetime
) -> LastBackup | None:
    """Return the guest's last backup, if it is newer than `entry` and its listing was not seen.

    `listed` are the repositories of which it was, `host` is what this host is called: a backup of
    another host says nothing of what this one made since.
    """
    last = known.last_of(entry.identity)
    if last is None or last.repository in listed:
        return None
    newer = recency(last.moment, now) > recency(entry.moment, now)
    return last if newer or entry.host != host else None
