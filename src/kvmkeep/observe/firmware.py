"""The variables of UEFI firmware: where domains have them, and what lies there.

That one can't be looked at is told with it alone: it matters to few verbs, and only for its guest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from kvmkeep.host.door import Door
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import Variables
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.names import TRASH_DIR, variables_path
from kvmkeep.model.trash import VARIABLES
from kvmkeep.model.trash_folder import TrashFolder

_LIMIT = 64 << 20
"""As many bytes as the flash of QEMU's machine `virt` has; that of a PC is smaller."""


def firmware_variables(root: ET.Element) -> str:
    """Return the file that libvirt takes for them; empty where there is none, as without UEFI.

    Where a definition leaves the choice of a firmware to it, libvirt 9.0 names no file in it, and
    goes by the name of the domain at each start.
    """
    source = root.find("os/nvram/source")
    if source is not None:
        return _path(source.get("file", ""))
    none = root.find("os/loader[@stateless='yes']") is not None
    chosen = not none and any(one.get("firmware") == "efi" for one in root.iterfind("os"))
    named = _path(root.findtext("os/nvram", ""))
    return named or (_path(variables_path(root.findtext("name", ""))) if chosen else "")


def _path(text: str) -> str:
    text = text.strip()
    return text if text.startswith("/") and text.isprintable() else ""


def observe_variables(
    door: Door, domains: Sequence[Domain], trash: Iterable[TrashFolder]
) -> tuple[Variables, ...]:
    """Return what lies where domains of ours have their variables, and those in the trash had."""
    used = {one.variables for one in domains}
    kept: dict[str, list[str]] = {}
    for folder in trash:
        path = "" if folder.domain is None else folder.domain.variables
        if path and VARIABLES in folder.files:
            kept.setdefault(path, []).append(folder.name)
    own = (one.variables for one in domains if one.ours and one.variables)
    paths = dict.fromkeys((*own, *kept))
    return tuple(_variables(door, one, () if one in used else kept[one]) for one in paths)


def _variables(door: Door, path: str, folders: Sequence[str]) -> Variables:
    try:
        file = door.look(path)
        same = [] if file is None else [one for one in folders if _is_copy(door, file, one)]
    except OSError as error:
        return Variables(path=path, problem=error.strerror or str(error))
    return Variables(path=path, file=file, copies=tuple(same))


def _is_copy(door: Door, file: ImageFile, folder: str) -> bool:
    """Whether a folder of the trash holds just what a file holds."""
    path = f"{TRASH_DIR}/{folder}/{VARIABLES}"
    kept = door.look(path)
    if kept is None or (kept.kind, file.kind) != ("file", "file"):
        return False
    size = file.fingerprint.size
    if size != kept.fingerprint.size or size > _LIMIT:
        return False
    return door.read(file.path, _LIMIT) == door.read(path, _LIMIT)
