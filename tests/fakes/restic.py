"""A fake of restic: repositories in memory, by their URLs, with the objects that they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from fakes.words import UnknownCommandError, take_apart


@dataclass
class FakeObject:
    """A snapshot, as restic calls it; `files` are their contents by their paths."""

    id: str
    host: str
    tags: tuple[str, ...]
    path: str
    files: dict[str, bytes]


@dataclass
class FakeRepository:
    """A repository; `trouble` is what restic says instead of doing anything.

    Its server may be `append_only`: then nothing but locks goes away. What is `undeletable` stays
    too, and restic 0.17 and 0.18 end well all the same (its issue 5233).
    """

    objects: list[FakeObject] = field(default_factory=list)
    trouble: str = ""
    pruned: int = 0
    checked: tuple[str, ...] = ()
    append_only: bool = False
    undeletable: set[str] = field(default_factory=set)


class FakeRestic:
    """The program; `files` gives the files below a directory, by their paths."""

    def __init__(self, files: Callable[[str], dict[str, bytes]]) -> None:
        self.repositories: dict[str, FakeRepository] = {}
        self._files = files
        self._count = 0

    def run(self, argv: tuple[str, ...], stdin: bytes = b"") -> tuple[int, str]:
        if argv == ("version",):
            return 0, "restic 0.14.0 compiled with go1.19.8 on linux/amd64\n"
        url, password, cache, verb, *rest = argv
        assert password.startswith("--password-file=/")
        assert cache == "--cache-dir=/var/cache/kvmkeep/restic"
        url = url.removeprefix("--repo=")
        if verb == "init":
            self.repositories[url] = FakeRepository()
            return 0, "created restic repository"
        repository = self.repositories.get(url)
        if repository is None:
            return 1, (
                "Fatal: unable to open config file: stat: no such file or directory\n"
                "Is there a repository at the following location?\n"
            )
        if repository.trouble:
            return 1, repository.trouble
        method = getattr(self, f"_{verb}", None)
        if method is None:
            raise UnknownCommandError(str(argv))
        return method(repository, tuple(rest), stdin)

    def listed(self, url: str) -> list[FakeObject]:
        return self.repositories[url].objects

    def _snapshots(
        self, repository: FakeRepository, argv: tuple[str, ...], _: bytes
    ) -> tuple[int, str]:
        assert set(argv) == {"--json", "--no-lock", "--tag=kvmkeep"}
        found = [
            {
                "time": "2026-11-23T07:12:00.5+01:00", "tree": "0", "paths": [one.path],
                "hostname": one.host, "username": "root", "tags": list(one.tags), "id": one.id,
                "short_id": one.id[:8],
            }
            for one in repository.objects
            if "kvmkeep" in one.tags
        ]  # fmt: skip
        return 0, json.dumps(found) + "\n"

    def _unlock(
        self, repository: FakeRepository, argv: tuple[str, ...], _: bytes
    ) -> tuple[int, str]:
        assert argv == ()
        del repository
        return 0, "successfully removed locks"

    def _forget(
        self, repository: FakeRepository, argv: tuple[str, ...], _: bytes
    ) -> tuple[int, str]:
        assert argv[0] == "--"
        if repository.append_only:
            return 1, "blob not removed, server response: 403 Forbidden (403)"
        doomed = {*argv[1:]} - repository.undeletable
        repository.objects = [one for one in repository.objects if one.id not in doomed]
        return 0, ""

    def _prune(
        self, repository: FakeRepository, argv: tuple[str, ...], _: bytes
    ) -> tuple[int, str]:
        assert argv == ()
        repository.pruned += 1
        return 0, ""

    def _check(
        self, repository: FakeRepository, argv: tuple[str, ...], _: bytes
    ) -> tuple[int, str]:
        assert argv[0] == "--no-lock"
        repository.checked = argv[1:]
        return 0, "no errors were found"

    def _dump(self, repository: FakeRepository, argv: tuple[str, ...], _: bytes) -> tuple[int, str]:
        *words, name, path = argv
        assert words == ["--no-lock", "--"]
        found = [one for one in repository.objects if one.id == name and path in one.files]
        if not found:
            return 1, "cannot dump file: not found in snapshot"
        return 0, found[0].files[path].decode()

    def _backup(
        self, repository: FakeRepository, argv: tuple[str, ...], stdin: bytes
    ) -> tuple[int, str]:
        if "--stdin" in argv:
            words = take_apart(
                argv, values="--host --tag --stdin-filename", flags="--json --stdin",
                needs="--host --tag --stdin-filename --json",
            )  # fmt: skip
            path = words.one("--stdin-filename")
            assert path.rfind("/") == 0, "restic 0.18.0 fails with a directory (its issue 5324)"
            files = {path: stdin}
        else:
            words = take_apart(
                argv, values="--host --tag", flags="--force", needs="--force --host --tag"
            )
            (path,) = words.rest
            files = self._files(path)
            if not files:
                return 1, "Fatal: unable to save snapshot: snapshot is empty"
        self._count += 1
        made = FakeObject(
            id=hashlib.sha256(f"{self._count} {path}".encode()).hexdigest(),
            host=words.one("--host"),
            tags=tuple(words.one("--tag").split(",")),
            path=path,
            files=files,
        )
        repository.objects.append(made)
        summary = {"message_type": "summary", "snapshot_id": made.id[:8], "data_added": 4096}
        return 0, json.dumps(summary) + "\n"
