"""What is kept of removed guests, besides their LVs."""

from __future__ import annotations

from kvmkeep.model.domain_tree import domain_tree
from kvmkeep.model.names import METADATA_URI, TRASH_DIR
from kvmkeep.model.trash import DEFINITION, split_name
from kvmkeep.model.trash_folder import KeptDomain, TrashFolder
from kvmkeep.observe.domains import run_mark
from kvmkeep.observe.firmware import firmware_variables
from kvmkeep.observe.notebook import Notebook

_LIMIT = 16 << 20


def observe_trash(notebook: Notebook) -> tuple[TrashFolder, ...]:
    """Return the folders of the trash; what else lies there is not ours."""
    names = (name for name in notebook.names(TRASH_DIR) if split_name(name) is not None)
    return tuple(_folder(notebook, name) for name in names)


def _folder(notebook: Notebook, name: str) -> TrashFolder:
    path = f"{TRASH_DIR}/{name}"
    files = notebook.names(path)
    domain, problem = None, ""
    content = notebook.read(f"{path}/{DEFINITION}", _LIMIT) if DEFINITION in files else None
    if content is not None:
        try:
            domain = parse_kept(content)
        except ValueError as error:
            problem = f"{path}/{DEFINITION} can't be read: {error}"
    return TrashFolder(name=name, files=files, domain=domain, problem=problem)


def parse_kept(content: bytes) -> KeptDomain:
    """Return what a kept definition says; raises ValueError where it is no domain's."""
    root = domain_tree(content.decode())
    sources = (source.get("dev", "") for source in root.iterfind("devices/disk/source"))
    return KeptDomain(
        name=root.findtext("name", ""),
        uuid=root.findtext("uuid", ""),
        ours=root.find(f"metadata/{{{METADATA_URI}}}guest") is not None,
        sources=tuple(source for source in sources if source),
        variables=firmware_variables(root),
        run_mark=run_mark(root),
    )
