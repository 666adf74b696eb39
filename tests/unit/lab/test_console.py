"""The console's last words, in a log as systemd 252 writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.console import last_words

if TYPE_CHECKING:
    from pathlib import Path

WAITS = "\r\x1bM\r\x1b[K[\x1b[0;31m*     \x1b[0m] (2 of 2) Job campus.service/start running ({}s / 3min 18s)\r\n"
FAILED = "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start campus.service.\r\n"


def test_what_went_wrong_is_not_driven_out_by_what_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    waits = "".join(WAITS.format(number) for number in range(100))
    log.write_text(f"Linux version 6.1\r\n{waits}{FAILED}{waits}", newline="")
    assert last_words(log).splitlines() == ["Linux version 6.1", FAILED.rstrip()]


def test_a_console_that_said_much_is_cut_and_one_that_is_not_there_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    assert last_words(log) == ""
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert last_words(log).splitlines() == [f"line {number}" for number in range(960, 1000)]
