"""Questions that may never come back: each is asked in a thread that can be given up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Silent(Exception):
    """No answer came in time."""


def answer_within(limit: float, question: Callable[[], T]) -> T:
    """Return the answer to a question, or raise what it raised; raises Silent after `limit` s.

    A system call that hangs, or a C function that waits in one, is ended by no signal that
    Python could handle. The thread is left behind then; being a daemon thread, it does not keep
    the process alive.
    """
    answer: list[T] = []
    trouble: list[BaseException] = []

    def work() -> None:
        try:
            answer.append(question())
        except BaseException as error:  # noqa: BLE001 - raised again in the asking thread
            trouble.append(error)

    thread = threading.Thread(target=work, name="question", daemon=True)
    thread.start()
    thread.join(limit)
    if trouble:
        raise trouble[0]
    if not answer:
        raise Silent
    return answer[0]
