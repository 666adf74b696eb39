"""A cache and a state directory of its own for each test of the lab's pure parts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    monkeypatch.setenv("KVMKEEP_LAB_CACHE", str(root))
    monkeypatch.delenv("KVMKEEP_LAB_NAME", raising=False)
    return root


@pytest.fixture(autouse=True)
def state_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # pytest's own directories have paths too long for sockets.
    with tempfile.TemporaryDirectory(prefix="lab-") as place:
        monkeypatch.setenv("KVMKEEP_LAB_STATE", f"{place}/s")
        yield Path(place, "s")
