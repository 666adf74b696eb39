from __future__ import annotations

from pathlib import Path

import pytest
from hostile.site import Hostile


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Hostile:
    return Hostile(tmp_path, capsys)
