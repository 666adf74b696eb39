"""Files that only grow, line by line, each line durable: what the journal is kept in."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Protocol

from kvmkeep.host.files import list_names, make_directories, read_file, sync_directory, write_all

_LARGEST = 256 << 20


class Lines(Protocol):
    """Takes lines; `path` says where they are kept."""

    @property
    def path(self) -> str:
        """Where the lines are kept."""

    def append(self, line: bytes) -> None:
        """Keep a line (without its line feed) durably; raises OSError."""

    def close(self) -> None:
        """Take no more lines."""


class Folder(Protocol):
    """A place for files of lines."""

    def create(self, name: str) -> Lines:
        """Make a new file; raises OSError."""

    def names(self) -> tuple[str, ...]:
        """Return the names of the files, sorted."""

    def read(self, name: str) -> bytes:
        """Return a file's content, or nothing where it is gone; raises OSError."""

    def remove(self, name: str) -> None:
        """Remove a file, if it can be removed."""


class AppendFile:
    """A file that only grows. It must not exist yet; mode 0600."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._torn = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        sync_directory(os.path.dirname(path))

    def append(self, line: bytes) -> None:
        """Keep a line durably; raises OSError.

        After a failure the next line begins anew, so that it does not hang on to a torn one.
        """
        start = b"\n" if self._torn else b""
        self._torn = True
        write_all(self._descriptor, start + line + b"\n")
        os.fdatasync(self._descriptor)
        self._torn = False

    def close(self) -> None:
        """Take no more lines."""
        os.close(self._descriptor)


class Nowhere:
    """Takes lines and keeps none."""

    path = ""

    def append(self, line: bytes) -> None:
        """Keep nothing."""

    def close(self) -> None:
        """Have nothing to close."""


class AppendFolder:
    """A directory, mode 0700, of files that only grow."""

    def __init__(self, path: str) -> None:
        self._path = path

    def create(self, name: str) -> AppendFile:
        """Make a new file and, if need be, the directory; raises OSError."""
        make_directories(self._path, 0o700)
        return AppendFile(f"{self._path}/{name}")

    def names(self) -> tuple[str, ...]:
        """Return the names of the files, sorted."""
        return list_names(self._path)

    def read(self, name: str) -> bytes:
        """Return a file's content, or nothing where it is gone; raises OSError."""
        return read_file(f"{self._path}/{name}", _LARGEST) or b""

    def remove(self, name: str) -> None:
        """Remove a file, if it can be removed."""
        with suppress(OSError):
            os.unlink(f"{self._path}/{name}")
