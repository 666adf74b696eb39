"""Repositories of the host file, and how each guest is backed up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from kvmkeep.model.backup_policy import BackupPolicy, Engine, Keep, Repository
from kvmkeep.model.calendar import parse_calendar
from kvmkeep.model.text import printable
from kvmkeep.model.units import Label
from kvmkeep.spec.backup_document import BackupSection, KeepSection, RepositorySection
from kvmkeep.spec.guest_document import GuestFile
from kvmkeep.spec.host_document import HostFile
from kvmkeep.spec.source import Path, Source
from kvmkeep.spec.sources import parse_rate

_SCHEDULE = "daily"
_PROVE = "weekly"
_KEEP = Keep(last=3, daily=7, weekly=5, monthly=12)

_URL = re.compile(r"[!-~]{1,1000}")
_SCHEMES = {
    Engine.RESTIC: ("sftp", "s3", "rest", "b2", "azure", "gs", "swift"),
    Engine.BORG: ("ssh",),
}
_SSH = re.compile(r"//([\w.][\w.-]*@)?[\w.\[][\w.:\]-]*/.+", re.ASCII)
# borg help placeholders; `::` begins the name of an archive, but not in an IPv6 address.
_PLACEHOLDER = re.compile(r"[{}]|::(?![^\[]*\])")
_SECRET = re.compile(r"//[^/@]*:[^/@]*@")
_HTTP = ("rest", "s3")
_CALENDAR = re.compile(r"[A-Za-z0-9*:,./ -]{1,100}")
_MOST_WORDS = 50


class _Wish(Struct, frozen=True, kw_only=True):
    """What a mapping says; None where it says nothing, or something that was told as wrong."""

    repository: str | None = None
    schedule: str | None = None
    keep: Keep | None = None
    prove: str | None = None
    check: tuple[str, ...] | None = None


class Backups(Struct, frozen=True, kw_only=True):
    """What the host file says: `repositories` is None where they could not be understood.

    `usual` is for guests that say nothing else; None where there is nothing of the kind.
    """

    repositories: Mapping[str, Repository | None] | None = None
    usual: _Wish | None = None


def resolve_backups(source: Source[HostFile], host: HostFile) -> Backups:
    """Return the repositories, and what holds for guests that say nothing else."""
    found = {
        name: _repository(source, ("repositories", name), section)
        for name, section in host.repositories.items()
    }
    known = None if ("repositories",) in source.broken else found
    usual = None if host.backup is None else _wish(source, host.backup, known)
    return Backups(repositories=known, usual=usual)


def resolve_backup(
    source: Source[GuestFile], document: GuestFile, backups: Backups
) -> BackupPolicy | None:
    """Return how a guest is backed up, or None where it is not."""
    asked = document.backup
    if asked is False or (asked is None and backups.usual is None):
        return None
    own = _Wish()
    if isinstance(asked, BackupSection):
        own = _wish(source, asked, backups.repositories)
    usual = backups.usual or _Wish()
    repository = own.repository or usual.repository
    if repository is None:
        if asked is not None and ("backup", "repository") not in source.broken:
            hint = "name one, here or in the backup of host.yaml"
            source.wrong(("backup",), f"it tells no repository ({hint})")
        return None
    return BackupPolicy(
        repository=Label(repository),
        schedule=own.schedule or usual.schedule or _SCHEDULE,
        keep=own.keep or usual.keep or _KEEP,
        prove=own.prove or usual.prove or _PROVE,
        check=own.check if own.check is not None else usual.check or (),
    )


def _repository(
    source: Source[HostFile], path: Path, section: RepositorySection | None
) -> Repository | None:
    label = source.label(path)
    if section is None:
        return None
    place = partial(parse_place, engine=section.engine, keys=section.environment_file is not None)
    url = source.parse((*path, "url"), place, section.url)
    password = source.parse((*path, "password_file"), parse_file, section.password_file)
    keys = source.parse((*path, "environment_file"), parse_file, section.environment_file)
    rate = source.parse((*path, "rate"), parse_rate, section.rate)
    if label is None or url is None or password is None:
        return None
    return Repository(
        name=label,
        engine=section.engine,
        url=url,
        password_file=password,
        environment_file=keys or "",
        rate=rate or 0,
        append_only=section.append_only,
    )


def _wish(
    source: Source[Any], section: BackupSection, known: Mapping[str, Repository | None] | None
) -> _Wish:
    name = section.repository
    if name is not None and known is not None and name not in known:
        shown = ", ".join(known) or "none"
        text = f"there is no repository {printable(name)} in host.yaml (known: {shown})"
        source.wrong(("backup", "repository"), text)
        name = None
    return _Wish(
        repository=name,
        schedule=source.parse(("backup", "schedule"), _parse_calendar, section.schedule),
        keep=_keep(source, section.keep),
        prove=source.parse(("backup", "prove"), _parse_calendar, section.prove),
        check=source.parse(("backup", "check"), _parse_check, section.check),
    )


def _keep(source: Source[Any], section: KeepSection | None) -> Keep | None:
    path = ("backup", "keep")
    if any(broken[:2] == path for broken in source.broken):
        return None
    return source.parse(path, _parse_keep, section)


def parse_place(text: str, engine: Engine, *, keys: bool) -> str:
    """Accept a place as the engine takes it; messages never repeat it: it may hold a password.

    `keys`: the engine gets keys of its own beside it, from a file.
    """
    if _URL.fullmatch(text) is None:
        raise ValueError("not a place for backups (printable characters without spaces)")
    scheme, colon, rest = text.partition(":")
    if _SECRET.search(text):
        raise ValueError(
            "it holds a password (a secret has no place in a spec: write it into environment_file"
            f"{', as RESTIC_REST_PASSWORD=...' if scheme == 'rest' else ''})"
        )
    if scheme in _HTTP:
        _demand_no_token(text, scheme, keys=keys)
    if engine is Engine.BORG and _PLACEHOLDER.search(text):
        raise ValueError("it holds {, } or ::, which mean something else to borg")
    if text.startswith("/") and text.strip("/"):
        return text
    if scheme == "ssh" and engine is Engine.BORG and _SSH.fullmatch(rest) is None:
        raise ValueError("not a place that borg knows (such as ssh://user@host/path)")
    strange = scheme == "sftp" and _is_option(rest)
    if not colon or scheme not in _SCHEMES[engine] or not rest or strange:
        known = ", ".join(f"{one}:..." for one in _SCHEMES[engine])
        raise ValueError(f"not a place that {engine} knows (an absolute path, {known})")
    return text


def _demand_no_token(text: str, scheme: str, *, keys: bool) -> None:
    """Refuse a URL with what is not a place: who runs there sees a command line, and so do logs.

    A name alone is one, where the password for it comes from the file with the keys.
    """
    where = "a secret has no place in a spec: write it into environment_file"
    if "?" in text or "#" in text or "\\" in text:
        raise ValueError(f"it holds more than a place (?, # or \\: {where})")
    name = "@" in text.partition("//")[2].partition("/")[0]
    if name and (scheme != "rest" or not keys):
        raise ValueError(
            f"it holds a name without a password, which may be a token ({where}"
            f"{', as RESTIC_REST_USERNAME=...' if scheme == 'rest' else ''})"
        )


def _is_option(rest: str) -> bool:
    """Whether ssh would take a part of a place for an option; restic splits it at each `@`."""
    authority = rest.removeprefix("//").partition("/" if rest.startswith("//") else ":")[0]
    return any(not part or part.startswith("-") for part in authority.split("@"))


def parse_file(text: str) -> str:
    """Accept the absolute path of a file."""
    if not text.startswith("/") or not text.isprintable() or len(text) > 1024:
        raise ValueError(f"{printable(text)} is not an absolute path (such as /root/backup.key)")
    if text.endswith("/"):
        raise ValueError(f"{printable(text)} is a directory (a file is wanted)")
    return text


def _parse_calendar(text: str) -> str:
    """Accept a time of systemd.time(7): systemd itself reads it later."""
    if _CALENDAR.fullmatch(text) is None:
        raise ValueError(f"{printable(text)} is not a time (such as daily, or Mon *-*-* 01:30)")
    parse_calendar(text)
    return " ".join(text.split())


def _parse_keep(section: KeepSection) -> Keep:
    keep = Keep(
        last=section.last, daily=section.daily, weekly=section.weekly, monthly=section.monthly
    )
    if keep == Keep(last=0, daily=0, weekly=0, monthly=0):
        raise ValueError("it keeps nothing (such as keep: {daily: 7, weekly: 5})")
    return keep


def _parse_check(words: tuple[str | None, ...]) -> tuple[str, ...]:
    """Accept a command: it is run without a shell, so a path is wanted, and no word is split."""
    argv = tuple(word for word in words if word is not None)
    if argv and not argv[0].startswith("/"):
        raise ValueError("its first word is not an absolute path (such as [/usr/bin/pg_isready])")
    if len(argv) > _MOST_WORDS or not all(word.isprintable() for word in argv):
        raise ValueError(f"at most {_MOST_WORDS} words, without control characters")
    return argv
