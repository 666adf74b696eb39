"""A file of changes as it is written: what `tweak` may also be told by flags."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from kvmkeep.spec.document import MacText, Section, Texts
from kvmkeep.spec.guest_document import RouteSection

_QUOTED = {"number": 'put it in quotes, such as "0644"'}
ModeText = Annotated[str, Meta(title="mode", pattern="^[0-7]{3,4}$", extra=_QUOTED)]


class PasswordSection(Section, frozen=True, kw_only=True):
    """A password: a file that holds it, or its hash in crypt(5) form."""

    file: str | None = None
    hash: str | None = None

    def __repr__(self) -> str:
        return "PasswordSection()"


class TweakNicSection(Section, frozen=True, kw_only=True):
    """An interface that the guest's own network system sets up."""

    mac: MacText | None
    address: str | Texts | None
    gateway: str | Texts | None = None
    routes: tuple[RouteSection | None, ...] = ()
    dns: Texts = ()
    search: Texts = ()


class FileSection(Section, frozen=True, kw_only=True):
    """A file of the guest: its content, or the file of this host that holds it."""

    content: str | None = None
    file: str | None = None
    mode: ModeText = "0644"
    owner: str = "root"


class TweakFile(Section, frozen=True, kw_only=True):
    """Everything that may be changed."""

    passwords: dict[str, PasswordSection | None] = field(default_factory=dict)
    ssh_keys: dict[str, Texts | None] = field(default_factory=dict)
    sudo: Texts = ()
    hostname: str | None = None
    serial_console: bool = False
    addresses: str | tuple[TweakNicSection | None, ...] | None = None
    cloud_init: bool | None = None
    datasources: Texts = ()
    files: dict[str, FileSection | None] = field(default_factory=dict)
    run: Texts = ()
    replace: bool = False
