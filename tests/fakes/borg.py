"""A fake of borg 1.2: repositories in memory, by their URLs, with the archives that they hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from fakes.words import UnknownCommandError

ENVIRONMENT = (
    "TZ=UTC",
    "BORG_PASSCOMMAND=cat -- /root/pw",
    "BORG_BASE_DIR=/var/lib/kvmkeep/borg",
    "BORG_CACHE_DIR=/var/cache/kvmkeep/borg",
    "BORG_RELOCATED_REPO_ACCESS_IS_OK=no",
    "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=no",
)
CREATE = ("--checkpoint-interval=0", "--files-cache=disabled", "--compression=auto,zstd")


@dataclass
class FakeArchives:
    """A repository: the files of its archives, by the archives' names."""

    archives: dict[str, dict[str, bytes]] = field(default_factory=dict)
    compacted: int = 0
    checked: list[tuple[str, ...]] = field(default_factory=list)


class FakeBorg:
    """The program; `files` gives the files below a directory, by their paths."""

    def __init__(self, files: Callable[[str], dict[str, bytes]]) -> None:
        self.repositories: dict[str, FakeArchives] = {}
        self.version = "borg 1.2.9"
        self._files = files

    def run(self, argv: tuple[str, ...], stdin: bytes = b"") -> tuple[int, str]:
        if argv == ("--version",):
            return 0, f"{self.version}\n"
        return self._run(argv, stdin)

    def _run(self, argv: tuple[str, ...], stdin: bytes) -> tuple[int, str]:
        argv = argv[1:] if argv[0] == "--log-json" else argv
        verb, wait, *words = argv
        assert wait == ("--lock-wait=60" if verb == "list" else "--lock-wait=1800")
        at = words.index("--")
        options, (place, *rest) = tuple(words[:at]), words[at + 1 :]
        url, _, archive = place.partition("::")
        if verb == "init":
            assert options == ("--encryption=repokey-blake2",)
            self.repositories[url] = FakeArchives()
            return 0, ""
        if url not in self.repositories:
            line = {"message": f"Repository {url} does not exist.", "levelname": "ERROR"}
            return 2, json.dumps(line | {"msgid": "Repository.DoesNotExist"}) + "\n"
        repository = self.repositories[url]
        if verb == "list":
            return 0, self._list(repository, options)
        if verb == "create":
            return self._create(repository, archive, options, rest, stdin)
        if verb == "extract":
            assert options == ("--stdout",)
            path = rest[0].removeprefix("pf:")
            data = repository.archives.get(archive, {}).get(path)
            return (1, "never matched") if data is None else (0, data.decode())
        self._tidy(repository, verb, options, rest)
        return 0, ""

    def _tidy(
        self, repository: FakeArchives, verb: str, options: tuple[str, ...], rest: list[str]
    ) -> None:
        match verb:
            case "delete":
                assert rest, "this would delete the repository"
                assert options == ()
                for name in rest:
                    repository.archives.pop(name, None)
            case "compact":
                repository.compacted += 1
            case "check":
                repository.checked.append(options)
            case _:
                raise UnknownCommandError(verb)

    def _list(self, repository: FakeArchives, options: tuple[str, ...]) -> str:
        assert options[:2] == ("--json", "--consider-checkpoints")
        marks = options[2].removeprefix("--glob-archives=")
        found = [
            {"name": name, "time": "2026-11-23T06:12:00.000000"}
            for name in repository.archives
            if fnmatchcase(name, marks)
        ]
        return json.dumps({"archives": found}) + "\n"

    def _create(
        self,
        repository: FakeArchives,
        archive: str,
        options: tuple[str, ...],
        rest: list[str],
        stdin: bytes,
    ) -> tuple[int, str]:
        if archive in repository.archives:
            return 2, f"Archive {archive} already exists"
        if rest == ["-"]:
            head, pieces, name = options[:4], options[4], options[5]
            assert head == ("--json", *CREATE)
            assert pieces == "--chunker-params=fixed,2097152"
            files = {name.removeprefix("--stdin-name="): stdin}
        else:
            assert options == CREATE
            files = {path[1:]: content for path, content in self._files(rest[0]).items()}
        repository.archives[archive] = files
        made = {"name": archive, "stats": {"deduplicated_size": 4096}}
        return 0, json.dumps({"archive": made}, indent=4) + "\n"


def without_environment(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return borg's own words of a command line `env NAME=VALUE ... borg WORDS`."""
    at = argv.index("borg")
    assert argv[:at] == ENVIRONMENT, argv
    return argv[at + 1 :]
