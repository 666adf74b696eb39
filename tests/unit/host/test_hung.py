"""A mount that does not answer costs some seconds once, and little from then on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from kvmkeep.host.hung import HungMounts, timed_out
from kvmkeep.host.machine_door import MachineDoor

T = TypeVar("T")


@pytest.fixture
def never() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_what_does_not_answer_is_named_and_others_are_asked(
    tmp_path: Path, never: threading.Event
) -> None:
    hung = HungMounts(limit=0.05)
    path = str(tmp_path / "disk.iso")
    with pytest.raises(TimeoutError, match="did not answer in time") as caught:
        hung.ask(path, lambda: never.wait(60))
    assert caught.value.filename == path
    assert hung.ask(str(tmp_path / "other"), lambda: "there") == "there"


def test_who_lies_beside_it_gets_less_time(tmp_path: Path, never: threading.Event) -> None:
    hung = HungMounts(limit=0.05, again=0.0)
    with pytest.raises(TimeoutError):
        hung.ask(str(tmp_path / "a"), lambda: never.wait(60))
    with pytest.raises(TimeoutError):
        hung.ask(str(tmp_path / "b"), lambda: never.wait(60))
    # Elsewhere there is as much as before: a thread takes more than no time at all.
    patient = HungMounts(limit=60.0, again=0.0)
    assert patient.ask(str(tmp_path / "c"), lambda: "there") == "there"


@pytest.mark.parametrize("path", ["/dev/vg/vm-web", "/sys/block", "/etc/kvmkeep/host.yaml"])
def test_what_no_server_holds_is_asked_at_once(path: str) -> None:
    here = threading.get_ident()
    assert HungMounts().ask(path, threading.get_ident) == here


class Silent(HungMounts):
    """Answers nothing."""

    def ask(self, path: str, question: Callable[[], T]) -> T:
        del question
        raise timed_out(path)


def test_the_door_tells_what_it_could_not_see(tmp_path: Path) -> None:
    path = str(tmp_path / "disk.iso")
    door = MachineDoor(hung=Silent())
    for question in (door.read, door.names, door.look):
        with pytest.raises(TimeoutError):
            question(path)
    assert door.device(path) == ""
    assert door.secret(path).error == "it did not answer in time"
