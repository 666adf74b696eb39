"""The variables of a guest's UEFI firmware: a file that no two domains may have."""

from __future__ import annotations

import shlex

from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.domain_tree import domain_tree
from kvmkeep.model.names import variables_path
from kvmkeep.model.plan import Refusal
from kvmkeep.model.spec import Firmware, Guest
from kvmkeep.model.template import VM_NAME
from kvmkeep.planning.domains.firmware_choice import firmware_of, template_firmware
from kvmkeep.planning.domains.kept_xml import kept_domain
from kvmkeep.planning.scene import Scene


def firmware_refusals(scene: Scene) -> tuple[Refusal, ...]:
    """Refuse to define a guest whose variables are another domain's.

    A domain keeps its file when it is renamed, and libvirt takes one that is there.
    """
    owners = {one.variables: one.name for one in scene.facts.domains if one.variables}
    if not owners:
        return ()
    found: list[Refusal] = []
    for guest in scene.guests:
        if scene.domain(guest) is not None:
            continue
        kept = kept_domain(scene, guest)
        path = _of_template(scene, guest) if kept is None else kept.variables
        if path in owners:
            other = owners[path]
            reason = f"the variables of its firmware would be those of the domain {other}, {path}"
            hint = f"choose another name; or, {make_room(other)}"
            found.append(Refusal(subject=f"guest {guest.name}", reason=reason, hint=hint))
    return tuple(found)


def with_variables_named(domain: Domain) -> str:
    """Return a domain's definition, which names the file of its variables, if it has any.

    libvirt 9.0 finds those of a firmware that it chose by the domain's name, where none is told.
    """
    path, xml = domain.variables, domain.xml
    if not path or domain_tree(xml).find("os/nvram") is not None:
        return xml
    # What may hold an <os> of others, <metadata>, libvirt writes before its own.
    before, end, after = xml.rpartition("</os>")
    return f"{before}<nvram>{path}</nvram>{end}{after}"


def make_room(domain: str) -> str:
    """Return how a domain gets another file for its variables, and keeps what stands in them."""
    return (
        f"while {domain} is off, rename that file, and write its new name into <nvram>: "
        f"virsh edit {shlex.quote(domain)}"
    )


def _of_template(scene: Scene, guest: Guest) -> str:
    """Return where the variables of a guest will lie that is made anew; empty without UEFI."""
    if firmware_of(scene.spec, guest) is Firmware.BIOS:
        return ""
    given = ""
    if template_firmware(scene.spec) is Firmware.UEFI:
        given = domain_tree(scene.spec.template).findtext("os/nvram", "").strip()
    return given.replace(VM_NAME, guest.name) or variables_path(guest.name)
