"""The plan of `copy-in`: files and directories of this host, put into a disk that nobody uses."""

from __future__ import annotations

import posixpath

from msgspec import Struct

from kvmkeep.model.command import Command
from kvmkeep.model.facts import Facts
from kvmkeep.model.fittings import Fittings, Seen
from kvmkeep.model.guestfish import line
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.model.names import STATE_DIR
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Label
from kvmkeep.planning.commands import HOUR
from kvmkeep.planning.offline.editing import Editing
from kvmkeep.planning.offline.rewriting import OfflineChange, Work, plan_for_guest, plan_for_image
from kvmkeep.planning.scene import make_scene

COPY_DIR = f"{STATE_DIR}/copy-in"
WORK = ".kvmkeep-copy-in"
"""The directory, beside the files' places in the guest, in which they lie until all are there."""

_SECOND = 10**9


class CopyIn(Struct, frozen=True, kw_only=True):
    """What is copied into `directory` of a guest; `mode` in octal, or empty: as it is here."""

    files: tuple[ImageFile, ...]
    directory: str
    mode: str = ""
    replace: bool = False


def plan_copy_in(
    spec: Spec, facts: Facts, change: OfflineChange, wish: CopyIn, known: Fittings | None
) -> Plan:
    """Plan to copy what is not there yet; `known` is the answer that lies there."""
    fresh = known if known is not None and known.asked == change.asked else None
    tar = f"{COPY_DIR}/{change.name}.tar"
    editing = Editing(known=fresh, stamp=change.asked)
    missing = _missing(editing, wish)
    label = editing.label_of(wish.directory)
    if missing:
        _put_all(editing, wish, missing, tar)
    names = ", ".join(file.path for file in wish.files)
    work = Work(
        says=f"copy {names} to {wish.directory} in it",
        why="you asked for it",
        editing=editing,
        before=(_install(), _pack(wish, missing, tar, label)),
        after=(Command(argv=("rm", "--force", "--", tar), why="leave no copy of them"),),
    )
    guest = spec.guest(change.name)
    if guest is not None:
        return plan_for_guest(make_scene(spec, facts, (guest,)), guest, change, work)
    image = spec.image(Label(change.name))
    return plan_for_image(make_scene(spec, facts, ()), image, change, work)


def _missing(editing: Editing, wish: CopyIn) -> tuple[ImageFile, ...]:
    """Return what is to be copied; what an interrupted run has brought is there already."""
    folder = editing.seen(wish.directory)
    if not editing.draft and folder.kind != "directory":
        editing.refuse(f"there is no directory {wish.directory} in it", "name one that is there")
    if "," in (label := editing.label_of(wish.directory)):
        # tar(1), --pax-option: a comma ends a keyword, and nothing quotes it.
        editing.refuse(
            f"the SELinux label of {wish.directory} names several categories ({label}), which tar "
            "can't pass on",
            "copy it to another directory, and move it from there inside the guest",
        )
    missing: list[ImageFile] = []
    for file in wish.files:
        old = editing.seen(_target(wish, file))
        _place(editing, wish, file)
        if _is_copy(old, file, wish.mode):
            continue
        missing.append(file)
        if old.kind and not wish.replace:
            editing.refuse(f"{old.path} is there already in it", "replace it: add --replace")
    return tuple(missing)


def _is_copy(old: Seen, file: ImageFile, mode: str) -> bool:
    """Whether this is the file already: as rsync(1) tells it, by size and time.

    A directory never is: its own time tells nothing of what is below it.
    """
    if (old.kind, file.kind) != ("file", "file"):
        return False
    same = (old.time, old.size) == (file.fingerprint.mtime_ns // _SECOND, file.fingerprint.size)
    return same and (not mode or old.mode == int(mode, 8))


def _place(editing: Editing, wish: CopyIn, file: ImageFile) -> str:
    """Return where the old one is kept; a directory may be replaced by each try of a run."""
    return editing.kept_at(_target(wish, file)) if file.kind == "directory" else ""


def _put_all(editing: Editing, wish: CopyIn, missing: tuple[ImageFile, ...], tar: str) -> None:
    work = f"{wish.directory.rstrip('/')}/{WORK}"
    editing.do("rm-rf", work)
    editing.do("mkdir", work)
    editing.lines.append(f"{line('tar-in', tar, work)} xattrs:true")
    for file in missing:
        target = _target(wish, file)
        old = editing.seen(target)
        if old.kind:
            editing.keep(target, move=True, place=_place(editing, wish, file))
        copied = f"{work}/{posixpath.basename(file.path)}"
        if old.kind == file.kind == "file":
            editing.label(copied, old.label)
        editing.do("mv", copied, target)
        editing.touched[target] = None
    editing.do("rm-rf", work)
    editing.finish()


def _target(wish: CopyIn, file: ImageFile) -> str:
    return f"{wish.directory.rstrip('/')}/{posixpath.basename(file.path)}"


def _install() -> Command:
    return Command(
        argv=("install", "--directory", "--mode=0700", "--", COPY_DIR),
        why="make a directory that nobody else can look into",
    )


def _pack(wish: CopyIn, missing: tuple[ImageFile, ...], tar: str, label: str) -> Command:
    # tar(1), --pax-option: so each member has the label, whatever there is below a directory.
    labels = (f"--pax-option=SCHILY.xattr.security.selinux:={label}",) if label else ()
    mode = (f"--mode={wish.mode}",) if wish.mode else ()
    words: list[str] = []
    for file in missing:
        folder, name = posixpath.split(file.path)
        words += [f"--directory={folder}", f"--add-file={name}"]
    return Command(
        argv=(
            "tar", "--create", f"--file={tar}", "--owner=root:0", "--group=root:0",
            "--numeric-owner", "--format=posix", *labels, *mode, *words,
        ),
        why="pack them, as root's: this host's user numbers mean other people there",
        timeout=HOUR,
    )  # fmt: skip
