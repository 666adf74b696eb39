"""What is damaged on a disk, or said by somebody hostile, is none: never an error of its own."""

from __future__ import annotations

import msgspec
import pytest

from kvmkeep.model.decoding import decoded_or_none
from kvmkeep.model.proof import missing_mounts, parse_rung

BAD = {
    "empty": b"",
    "torn": b'{"name":"ro',
    "zeros": bytes(64),
    "of another form": b'{"name":1}',
    "a bit that fell over": b'{"name":"r\xef\x6f\x74"}',
    "deep": b'{"other":' * 100_000,
}


class Named(msgspec.Struct, frozen=True):
    name: str


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_what_is_damaged_is_none(content: bytes) -> None:
    assert decoded_or_none(content, Named) is None
    assert parse_rung(content) is None
    said = missing_mounts("", content.decode("utf-8", "replace"))
    assert said == "its agent does not tell what is mounted"


def test_what_is_whole_is_itself() -> None:
    assert decoded_or_none(b'{"name":"root"}', Named) == Named("root")
    assert decoded_or_none(b'[{"name":"root"}]', tuple[Named, ...]) == (Named("root"),)
