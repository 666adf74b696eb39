"""Files: read without being held up, written so that a crash leaves the old one or the new one."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from kvmkeep.model.command import WriteFile
from kvmkeep.model.image_facts import Fingerprint, ImageFile
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.store import part_path

_SECRET = 64 << 10
"""So much of a file of secrets is looked at, to see whether anything stands in it."""
_NOT_THERE = (FileNotFoundError, NotADirectoryError)


def make_directories(path: str, mode: int) -> None:
    """Make a directory with this mode; missing parents get 0755, whatever the umask.

    Parents stay open to all, since QEMU's own user must reach a seed below them. A directory
    that exists is left as it is.
    """
    if path in {"", "/"} or os.path.isdir(path):
        return
    make_directories(os.path.dirname(path), 0o755)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    os.chmod(path, mode)
    sync_directory(os.path.dirname(path) or ".")


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_part(path: str, mode: int) -> int:
    """Open the file that becomes `path` when it is complete, and return its descriptor.

    What an earlier run left of it is removed. A symbolic link at `path` is refused: the rename
    would replace the link, and somebody made it for a reason.
    """
    if os.path.islink(path):
        raise OSError(errno.ELOOP, "is a symbolic link, which kvmkeep does not follow", path)
    part = part_path(path)
    with suppress(FileNotFoundError):
        os.unlink(part)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(part, flags, 0o600)
    os.fchmod(descriptor, mode)
    return descriptor


def finish_part(descriptor: int, path: str) -> None:
    """Make the file's content durable, then its name; closes the descriptor."""
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(part_path(path), path)
    sync_directory(os.path.dirname(path))


def drop_part(path: str) -> None:
    """Remove what was not completed."""
    with suppress(OSError):
        os.unlink(part_path(path))


def write_file(file: WriteFile) -> None:
    """Write a file whole and durably; raises OSError and then leaves nothing of the new one."""
    if not os.path.isabs(file.path):
        raise OSError(errno.EINVAL, "is not an absolute path", file.path)
    make_directories(os.path.dirname(file.path), file.dir_mode)
    descriptor = open_part(file.path, file.mode)
    try:
        try:
            write_all(descriptor, file.content)
        except BaseException:
            os.close(descriptor)
            raise
        finish_part(descriptor, file.path)
    except BaseException:
        drop_part(file.path)
        raise


def write_all(descriptor: int, content: bytes) -> None:
    """Write all bytes: write(2) may take only some of them when a disk gets full."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_file(path: str, limit: int) -> bytes | None:
    """Return the first `limit` bytes of a regular file, through links; None where there is none.

    A FIFO or device in its place is not opened for long enough to hang. Raises OSError where a
    file is there but can't be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except _NOT_THERE:
        return None
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = bytearray()
        while len(content) < limit and (more := file.read(min(limit - len(content), 1 << 20))):
            content += more
        return bytes(content)


def list_names(directory: str) -> tuple[str, ...]:
    """Return the sorted names in a directory; none where it does not exist."""
    try:
        return tuple(sorted(os.listdir(directory)))
    except _NOT_THERE:
        return ()


def look_at(path: str) -> ImageFile | None:
    """Return what kind of file this is and its fingerprint, without following a link."""
    try:
        found = os.lstat(path)
    except _NOT_THERE:
        return None
    fingerprint = Fingerprint(
        device=found.st_dev,
        inode=found.st_ino,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
    )
    return ImageFile(path=path, fingerprint=fingerprint, kind=kind_of(found.st_mode))


def look_at_secret(path: str) -> SecretFile:
    """Return how a file of secrets is seen from outside, through links; never raises."""
    try:
        found = os.stat(path)
        content = read_file(path, _SECRET)
    except _NOT_THERE:
        return SecretFile(path=path)
    except OSError as error:
        return SecretFile(path=path, error=error.strerror or str(error))
    return SecretFile(
        path=path,
        kind=kind_of(found.st_mode),
        owner=found.st_uid,
        mode=stat.S_IMODE(found.st_mode),
        blank=not (content or b"").strip(),
    )


def kind_of(mode: int) -> str:
    """Return what kind of file a mode is that of."""
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFBLK: "device",
        stat.S_IFCHR: "device",
        stat.S_IFIFO: "fifo",
        stat.S_IFLNK: "symlink",
        stat.S_IFSOCK: "socket",
    }
    return kinds[stat.S_IFMT(mode)]


def under_dev(path: str) -> bool:
    """Whether a path is one of /dev, where links are udev's; elsewhere anybody may lay one."""
    return os.path.normpath(path).startswith("/dev/")


def block_device(path: str) -> str:
    """Return the `major:minor` of a block device, through links; empty if it is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    if not stat.S_ISBLK(found.st_mode):
        return ""
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
