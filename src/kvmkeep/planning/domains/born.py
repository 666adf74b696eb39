"""What a guest was given at its first boot, and never again, as its definition remembers it.

Inside, all of that is the guest's own from then on; it is remembered to tell where the spec says
something else. Anybody may read a definition over libvirt's read-only socket. So what may hold a
secret is kept as so few bits of a digest that a guess can't be checked by it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from kvmkeep.model.command import Command
from kvmkeep.model.domain_facts import Born, Domain
from kvmkeep.model.names import BORN_KEY, BORN_URI
from kvmkeep.model.plan import Note
from kvmkeep.model.spec import FirstBoot, Guest, Login
from kvmkeep.planning.scene import Known

_ELEMENT = "born"


def born_now(guest: Guest) -> Born:
    """Return what a guest is given at a first boot of now."""
    if guest.first_boot is FirstBoot.NONE:
        return Born(image=guest.image)
    return Born(
        image=guest.image,
        hostname=guest.hostname,
        login=_login(guest.login),
        user_data=_digest(guest.user_data) if guest.user_data else "",
    )


def born_element(guest: Guest) -> ET.Element:
    """Return our element of that as it stands in the XML of a guest that is about to be born."""
    # libvirt keeps the element alone: it must bring the namespace itself (formatdomain).
    own = {f"xmlns:{BORN_KEY}": BORN_URI}
    return ET.Element(f"{BORN_KEY}:{_ELEMENT}", {**own, **_attributes(born_now(guest))})


def keep_born(guest: Known, born: Born | None, why: str) -> Command:
    """Return what has a domain's definition remember that, or forget it."""
    # A running domain's own copy is left: only the definition survives.
    argv = ("virsh", "metadata", "--domain", guest.name, "--uri", BORN_URI)
    if born is None:
        return Command(argv=(*argv, "--remove", "--config"), why=why)
    text = ET.tostring(ET.Element(_ELEMENT, _attributes(born)), encoding="unicode")
    return Command(argv=(*argv, "--key", BORN_KEY, "--set", text, "--config"), why=why)


def born_notes(guest: Guest, domain: Domain) -> tuple[Note, ...]:
    """Return where the spec says something else than the guest was given at its first boot."""
    if domain.born is None or guest.adopted:
        return ()
    before, now = domain.born, born_now(guest)
    told = []
    if before.image != now.image:
        told.append(
            f"it was made from image {before.image} (the spec says {now.image}), and a guest that "
            "is there is never made anew"
        )
    other = tuple(_differences(before, now)) if before.login and now.login else ()
    if other:
        told.append(
            f"at its first boot it was given {', '.join(other)}: what it has inside is its own; "
            "change it there, or while it is off with "
            f"`kvmkeep tweak {guest.name}` or `kvmkeep shell {guest.name}`"
        )
    if not told:
        return ()
    known = shlex.join(keep_born(guest, now, "").argv)
    text = f"{'; '.join(told)}; once all is well as it is, no more is told of it after: {known}"
    return (Note(subject=f"guest {guest.name}", text=text),)


def _differences(before: Born, now: Born) -> Iterator[str]:
    if before.hostname != now.hostname:
        yield f"the hostname {before.hostname} (the spec says {now.hostname})"
    if before.login != now.login:
        yield "another login than the spec has now (a key that is gone from it still opens it)"
    if before.user_data != now.user_data:
        yield "other user_data than the spec has now"


def _login(login: Login) -> str:
    words = [login.user, *sorted(login.ssh_keys), login.password_hash, login.sudo]
    return _digest(json.dumps(words))


def _digest(text: str) -> str:
    """Return 16 bits: a change is seen, and of a list of passwords many would fit."""
    return hashlib.sha256(text.encode()).hexdigest()[:4]


def _attributes(born: Born) -> dict[str, str]:
    values = {
        "image": born.image,
        "hostname": born.hostname,
        "login": born.login,
        "user-data": born.user_data,
    }
    return {key: value for key, value in values.items() if value}
