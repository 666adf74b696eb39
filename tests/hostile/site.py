"""A host in memory behind the whole command line, given what nobody should give it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults.door import digest

from tests.unit.cli.site import Site

Change = Callable[[Site], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command line ended with and said."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


class Hostile(Site):
    """Runs command lines, and knows whether they left anything."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(directory)
        self._capsys = capsys
        self._journal = directory / "journal"

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a part of a file of the spec."""
        path = Path(self.spec_dir, file)
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))

    def put(self, file: str, content: str | bytes) -> None:
        """Write a file of the spec."""
        data = content.encode() if isinstance(content, str) else content
        Path(self.spec_dir, file).write_bytes(data)

    def says(self, *words: str) -> Said:
        """Run a command line."""
        self._capsys.readouterr()
        code = self.line(*words)
        said = self._capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)

    def refuses(self, code: int, *patterns: str, words: str = "apply --yes") -> Said:
        """Demand that a command line is refused with this code, and leaves nothing at all."""
        before = digest(self.host)
        said = self.says(*words.split())
        assert said.code == code, said.all
        unwrapped = re.sub(r"\n +", " ", said.all)
        for pattern in patterns:
            assert re.search(pattern, unwrapped), f"{pattern!r} is not in:\n{said.all}"
        assert "Traceback" not in said.all
        assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", said.all) is None
        assert all(len(line) < 1000 for line in said.all.splitlines())
        assert said.err.rstrip().endswith("Nothing was touched.")
        assert [call.argv for call in self.host.calls if "Checkpoints" not in call.argv] == []
        assert digest(self.host) == before
        assert not self._journal.exists()
        return said
