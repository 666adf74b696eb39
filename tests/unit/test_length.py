"""A file of the program is as long as a reader can keep in mind, and no longer."""

from __future__ import annotations

from pathlib import Path

import kvmkeep

MOST = 400


def test_no_file_is_longer_than_one_can_keep_in_mind() -> None:
    (root,) = kvmkeep.__path__
    lengths = {
        str(path.relative_to(root)): len(path.read_text().splitlines())
        for path in Path(root).rglob("*.py")
    }
    assert "flow.py" in lengths
    assert {path: length for path, length in lengths.items() if length > MOST} == {}
