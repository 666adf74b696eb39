"""How an image is compared with its checksum: the command really run, on real files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from kvmkeep.host.run import Setting, run
from kvmkeep.planning.images.files import check


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("name", ["image.raw", "two words.raw", "back\\slash.raw", "-rf", "ä.raw"])
def test_only_the_right_content_passes(
    tmp_path: Path, name: str, algorithm: str, *, fast: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(b"an image")
    digest = f"{algorithm}:{hashlib.new(algorithm, b'an image').hexdigest()}"
    command = check(digest, str(path), fast=fast, otherwise="")
    assert run(command, Setting()).ok
    path.write_bytes(b"another one")
    assert not run(command, Setting()).ok
    path.unlink()
    assert not run(command, Setting()).ok
