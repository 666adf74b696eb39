from __future__ import annotations

import io
import os
import sys

import pytest

from kvmkeep.cli.consent import agrees, ask, demand_terminal
from kvmkeep.cli.streams import Streams
from kvmkeep.errors import UsageError
from kvmkeep.model.plan import Plan


class Typed(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return not super().isatty()  # raises ValueError once closed


@pytest.mark.parametrize(
    ("typed", "yes"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False), ("yep\n", False)],
)
def test_only_yes_means_yes(typed: str, *, yes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(typed))
    err = io.StringIO()
    demand_terminal("apply", ("apply", "web"))
    assert ask(Plan(), Streams(None, err)) is yes
    assert "[y/N]" in err.getvalue()


def test_a_question_that_nobody_answers_is_answered_with_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        err = io.StringIO()
        assert agrees("go on? ", Streams(None, err), 0.0) is False
        assert err.getvalue().startswith("go on? \nNobody has answered for 0 minutes")
        os.write(ours, b"yes\n")
        assert agrees("go on? ", Streams(None, err)) is True
    os.close(ours)


def test_each_question_has_its_own_line_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()
    with os.fdopen(ours) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        streams = Streams(None, io.StringIO())
        os.write(theirs, b"y\ny\nno")
        assert agrees("go on? ", streams, 0.0) is True
        assert agrees("go on? ", streams, 0.0) is True
        # Half a line is no answer, until nothing more can come.
        assert agrees("go on? ", streams, 0.0) is False
        os.write(theirs, b"yes")
        os.close(theirs)
        assert agrees("go on? ", streams) is True


def test_nobody_is_asked_where_nobody_can_read_the_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", Typed("y\n"))
    assert ask(Plan(), Streams(None, None)) is False


@pytest.mark.parametrize("stdin", [None, io.StringIO("y\n")])
def test_without_a_terminal_it_is_a_usage_error(
    stdin: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(UsageError) as caught:
        demand_terminal("apply", ("apply", "web"))
    assert caught.value.hint == "type: kvmkeep apply web --yes"


def test_a_closed_stdin_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = Typed()
    stdin.close()
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(UsageError):
        demand_terminal("apply", ("apply", "web"))
