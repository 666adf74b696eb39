"""Golden help texts. To write them anew:

for w in 80 40; do KVMKEEP_WIDTH=$w python tests/unit/cli/test_help.py; done
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvmkeep.cli.catalog import parsers
from kvmkeep.cli.parser import build

GOLDEN = Path(__file__).parent / "help"


def all_help() -> str:
    """Return the help of everything."""
    texts = [build().format_help(), *(parser.format_help() for parser in parsers().values())]
    return "\n".join(texts)


@pytest.mark.parametrize("width", [80, 40])
def test_help_is_as_it_was(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert all_help() == (GOLDEN / f"{width}.txt").read_text("utf-8")


@pytest.mark.parametrize("width", [80, 40])
def test_no_line_is_wider_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert [line for line in all_help().splitlines() if len(line) > width] == []


if __name__ == "__main__":
    os.environ["COLUMNS"] = os.environ["KVMKEEP_WIDTH"]
    (GOLDEN / f"{os.environ['COLUMNS']}.txt").write_text(all_help(), "utf-8")
