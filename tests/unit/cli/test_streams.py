from __future__ import annotations

import io
import json

import pytest

from kvmkeep.cli.streams import Streams, columns


class Broken(io.StringIO):
    """Fails as the kernel does."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, _text: str) -> int:
        raise self._error


def test_a_reader_that_went_away_is_remembered_and_nothing_is_raised() -> None:
    streams = Streams(Broken(BrokenPipeError()), io.StringIO())
    streams.result("text")
    streams.result("more")
    assert streams.gone
    assert not streams.trouble


def test_a_full_disk_is_trouble() -> None:
    streams = Streams(Broken(OSError(28, "No space left on device")), io.StringIO())
    streams.result("text")
    assert "No space left" in streams.trouble


def test_a_closed_stderr_does_not_stop_anything() -> None:
    for err in (None, Broken(BrokenPipeError())):
        streams = Streams(io.StringIO(), err)
        streams.talk("hello")
        streams.talk("again")
        assert not streams.gone


def test_json_stays_json_where_the_terminal_has_no_unicode() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace")
    text = json.dumps({"name": "grün \U0001f600 \x9b"}, ensure_ascii=False)
    Streams(out).json(text)
    assert json.loads(raw.getvalue()) == {"name": "grün \U0001f600 \x9b"}


def test_json_on_a_terminal_holds_no_raw_control_character() -> None:
    out = io.StringIO()
    Streams(out).json(json.dumps({"name": "\x9b2J\u202e"}, ensure_ascii=False))
    assert "\x9b" not in out.getvalue()
    assert json.loads(out.getvalue()) == {"name": "\x9b2J\u202e"}


@pytest.mark.parametrize(("value", "width"), [("40", 40), ("5", 20), ("x", 80), ("0", 80)])
def test_columns_come_from_the_environment(
    value: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", value)
    assert columns(io.StringIO()) == width


def test_only_a_capable_terminal_is_drawn_on(
    terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert Streams(None, terminal).draws
    assert not Streams(None, io.StringIO()).draws
    assert not Streams(None, None).draws
    monkeypatch.setenv("TERM", "dumb")
    assert not Streams(None, terminal).draws
    terminal.close()
    assert not Streams(None, terminal).draws
