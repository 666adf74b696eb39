"""The `identity` of guests: each has its own, and a file may be given one by a line at its end."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import count

from kvmkeep.model.spec import Guest
from kvmkeep.model.units import LONGEST_GUEST_NAME, GuestName
from kvmkeep.spec.claims import Claims
from kvmkeep.spec.convert import convert
from kvmkeep.spec.guest_document import GuestFile
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import decode, read_tree
from kvmkeep.spec.source import Source

_LINE = re.compile(rb"^identity:.*\n?", re.MULTILINE)


def takes_identity(content: bytes) -> bool:
    """Whether the file, with `identity: NAME` as its last line, says just that.

    It does not where the file is one `{...}`, or ends in `...`.
    """
    mistakes = Mistakes()
    named = _LINE.sub(b"", content).rstrip(b"\n") + b"\nidentity: it\n"
    text = decode("", named, mistakes)
    node = None if text is None else read_tree("", text, mistakes)
    document = convert("", node, GuestFile, mistakes).document
    return document is not None and document.identity == "it"


def claim_identities(born: Sequence[tuple[Source[GuestFile], Guest]], claims: Claims) -> None:
    """Note guests that share an identity, or a UUID.

    Whose file says it comes first: it was renamed, and the other one got its old name later. Also
    one that was adopted, whose UUID is not derived from it, has to have its own: backups go by it.
    """
    owners: dict[str, Guest] = {}
    taken = {name for _, guest in born for name in (guest.name, guest.identity)}
    for source, guest in sorted(born, key=lambda one: not one[0].has("identity")):
        owner = owners.setdefault(guest.identity, guest)
        hint = "" if owner is guest else _way_out(source, guest, owner, taken)
        own = (claims.shared and guest.adopted) or claims.identity(
            guest.identity, source.key("identity"), source.file, hint
        )
        if own or guest.adopted:
            claims.uuid(guest.uuid, source.place("uuid"), source.file)


def free_identity(name: GuestName, taken: Collection[str]) -> str:
    """Return an identity for a guest whose name is that of another one."""
    tries = (f"{name[: LONGEST_GUEST_NAME - 4]}-{number}" for number in count(2))
    return next(one for one in tries if one not in taken)


def _way_out(source: Source[GuestFile], guest: Guest, owner: Guest, taken: Collection[str]) -> str:
    """Return how a guest gets an identity of its own, and stays the machine that it may be."""
    free = free_identity(guest.identity, taken)
    hint = f"write `identity: {free}` into this file: backups that there are stay with the other"
    if guest.uuid == owner.uuid:
        return hint  # libvirt can't have both
    kept = [] if source.has("uuid") else [f"`uuid: {guest.uuid}`"]
    kept += [f"`mac: {nic.mac}`" for nic in guest.nics if not nic.named]
    return f"{hint}; if the host has it already, {' and '.join(kept)} as well" if kept else hint
