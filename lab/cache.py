"""The cache of what the lab has built: each entry is complete and checked, or not there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.tools import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MANIFEST = "manifest.json"
HASH_LIMIT = 4 * 1024 * 1024
HEAD = 64 * 1024


def cache_root() -> Path:
    """Return the directory of the cache, made if it isn't there."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "kvmkeep-lab")
    root = Path(os.environ.get("KVMKEEP_LAB_CACHE") or default).absolute()
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        message = f"can't make the cache directory {root}: {error.strerror}"
        raise LabError(message, "set KVMKEEP_LAB_CACHE to a directory you may write to") from error
    return root


def log_path(kind: str) -> Path:
    """Return an empty log for building something."""
    path = cache_root() / "logs" / f"{kind}.log"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    return path


def demand_space(place: Path, needed: int, what: str) -> None:
    """Refuse to begin when the disk is too full for what will be built."""
    free = shutil.disk_usage(place).free
    if free < needed:
        message = f"{what} needs {needed / 2**30:.1f} GiB, and {place} has only {free / 2**30:.1f} GiB free"
        raise LabError(message, "free some space, or set KVMKEEP_LAB_CACHE to a larger disk")


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock file; say so when somebody else has it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                say(f"waiting for process {handle.read().strip() or 'unknown'}: {what}")
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not is_same_file(handle.fileno(), path):
                continue  # The one before us removed it; others may hold a new one.
            handle.truncate(0)
            handle.write(f"{os.getpid()}\n")
            handle.flush()
            yield
            return


def is_same_file(descriptor: int, path: Path) -> bool:
    """Say whether a path still leads to the file that is open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def key_of(parts: Mapping[str, bytes]) -> str:
    """Hash named parts into a short key."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        digest.update(f"{name}\0{len(parts[name])}\0".encode())
        digest.update(parts[name])
    return digest.hexdigest()[:16]


def tree_parts(*roots: Path) -> dict[str, bytes]:
    """Return the files under some paths, for `key_of`."""
    parts: dict[str, bytes] = {}
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                parts[f"{path.relative_to(root.parent)} {path.stat().st_mode & 0o111}"] = (
                    path.read_bytes()
                )
    return parts


def fingerprint(path: Path) -> dict[str, str | int]:
    """Describe a file cheaply: its size, and the hash of all of it or of its two ends."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        if size <= HASH_LIMIT:
            digest.update(handle.read())
        else:
            digest.update(handle.read(HEAD))
            handle.seek(size - HEAD)
            digest.update(handle.read())
    return {"size": size, "blocks": path.stat().st_blocks, "ends": digest.hexdigest()}


def write_manifest(place: Path) -> None:
    """Describe every file of an entry; this is what makes it complete."""
    files = {
        str(path.relative_to(place)): fingerprint(path)
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }
    (place / MANIFEST).write_text(json.dumps(files, indent=1, sort_keys=True) + "\n")


def fault_of(place: Path) -> str:
    """Say what is wrong with an entry, or nothing."""
    try:
        files = json.loads((place / MANIFEST).read_text())
        for name, expected in files.items():
            found = fingerprint(place / name)
            if found["size"] != expected["size"] or found["ends"] != expected["ends"]:
                return f"{name} has changed"
            if int(found["blocks"]) < int(expected["blocks"]) // 2:
                return f"{name} has lost data"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest can't be used: {error}"
    return ""


def entry(kind: str, key: str, build: Callable[[Path], None], *, needs: int) -> Path:
    """Return the directory of a cache entry; build it when it is missing or broken."""
    root = cache_root()
    place = root / f"{kind}-{key}"
    with locked(root / "locks" / kind, f"it is building the {kind}"):
        if place.exists():
            fault = fault_of(place)
            if not fault:
                place.touch()
                return place
            say(f"the cached {kind} is broken ({fault}); building it again")
            shutil.rmtree(place)
        for leftover in root.glob(f".building-{kind}-*"):
            say(f"removing the half-built {leftover.name}")
            remove_tree(leftover)
        demand_space(root, needs, f"building the {kind}")
        with building(root, kind) as temporary:
            build(temporary)
            write_manifest(temporary)
            temporary.rename(place)
        prune(kind, place)
    return place


@contextlib.contextmanager
def building(root: Path, kind: str) -> Iterator[Path]:
    """Give a temporary directory that is gone in the end, unless it was renamed."""
    temporary = Path(tempfile.mkdtemp(prefix=f".building-{kind}-", dir=root))
    try:
        yield temporary
    except OSError as error:
        message = f"building the {kind} failed: {error}"
        hint = "free some space, or set KVMKEEP_LAB_CACHE" if error.errno == errno.ENOSPC else ""
        raise LabError(message, hint) from error
    finally:
        if temporary.exists():
            remove_tree(temporary)


def remove_tree(path: Path) -> None:
    """Remove a tree that may hold a root filesystem, but never what is mounted in it."""
    mounts = Path("/proc/self/mounts").read_text().split()
    inside = [mount for mount in mounts if mount.startswith(f"{path}/")]
    if inside:
        message = f"something is mounted under {path}: {inside[0]}"
        raise LabError(message, "unmount it and try again")
    shutil.rmtree(path)


def prune(kind: str, keep: Path) -> None:
    """Remove entries of one kind that have an old key and that no lab uses."""
    used = used_paths()
    for old in keep.parent.glob(f"{kind}-*"):
        if old.is_dir() and old != keep and not any(path.startswith(f"{old}/") for path in used):
            say(f"removing the old {old.name} from the cache")
            remove_tree(old)


def used_paths() -> set[str]:
    """Return what labs and other entries are based on, and the files that processes hold open."""
    places = ("running/*", ".building-*", "*")
    links = [f"{place}/{link}" for place in places for link in ("base", "below", "guest-images")]
    found = {f"{link.resolve()}/" for pattern in links for link in cache_root().glob(pattern)}
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            found.add(str(link.readlink()))
    return found
