"""Backups as they are written: for all guests in `host.yaml`, or in a guest's own file."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from kvmkeep.model.backup_policy import Engine
from kvmkeep.spec.document import LabelText, RateText, Section, Texts

_COUNT = Meta(ge=0, le=10_000)


class RepositorySection(Section, frozen=True, kw_only=True):
    """A place for backups, best on another machine."""

    url: Annotated[
        str | None,
        Meta(
            description="Where it is, as the engine takes it: a directory, `sftp:user@host:/path`, "
            "`s3:https://host/bucket`, `rest:https://host/` ...; for borg, a directory or "
            "`ssh://user@host/path`. It never holds a password.",
            examples=["sftp:backup@vault.example.org:/srv/backup/build"],
        ),
    ]
    password_file: Annotated[
        str | None,
        Meta(
            description="File with the repository's password, for root alone. Without it the "
            "backups can't be read by anybody: keep a copy elsewhere.",
            examples=["/root/backup.password"],
        ),
    ]
    engine: Annotated[
        Engine, Meta(description="What stores the backups: restic, or borg from 1.2.5 on.")
    ] = Engine.RESTIC
    environment_file: Annotated[
        str | None,
        Meta(
            description="File with the engine's keys, for root alone: lines `NAME=VALUE`, such as "
            "AWS_SECRET_ACCESS_KEY, or RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD.",
            examples=["/root/backup.keys"],
        ),
    ] = None
    rate: Annotated[
        RateText | None,
        Meta(
            description="Limit for reading the disks, for each second, and so for sending. "
            "Default: no limit.",
            examples=["50MiB"],
        ),
    ] = None
    append_only: Annotated[
        bool,
        Meta(
            description="Whether the server lets this host delete nothing. Then nothing is "
            "forgotten or pruned there, and what `keep` does not ask for is only told."
        ),
    ] = False


class KeepSection(Section, frozen=True, kw_only=True):
    """How many backups are kept; what no line asks for may be forgotten. Days are those of UTC."""

    last: Annotated[int, _COUNT, Meta(description="So many of the last ones.")] = 0
    daily: Annotated[int, _COUNT, Meta(description="The last one of each of so many days.")] = 0
    weekly: Annotated[int, _COUNT, Meta(description="The last one of each of so many weeks.")] = 0
    monthly: Annotated[int, _COUNT, Meta(description="The last one of each of so many months.")] = 0


class BackupSection(Section, frozen=True, kw_only=True):
    """How guests are backed up. What a guest's file leaves out is taken from `host.yaml`."""

    repository: Annotated[
        LabelText | None,
        Meta(description="Name of a repository of `host.yaml`.", examples=["vault"]),
    ] = None
    schedule: Annotated[
        str | None,
        Meta(
            description="How often, as of systemd.time(7), `OnCalendar`. Default: daily.",
            examples=["*-*-* 01:30"],
        ),
    ] = None
    keep: Annotated[
        KeepSection | None,
        Meta(
            description="How many are kept. Default: the last 3, and one for each of 7 days, "
            "5 weeks and 12 months."
        ),
    ] = None
    prove: Annotated[
        str | None,
        Meta(
            description="How often a backup is proven by starting the guest from it, as of "
            "systemd.time(7). Default: weekly.",
            examples=["Sun 06:00"],
        ),
    ] = None
    check: Annotated[
        Texts | None,
        Meta(
            description="A command that is run in the guest when its backup is proven; it has to "
            "end with 0. The first word is an absolute path.",
            examples=[["/usr/bin/pg_isready"]],
        ),
    ] = None
