"""Waiting for something, with a limit."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.apply.hands import Hands, failure_of, stop_if_asked
from kvmkeep.model.command import NOT_FOUND, Poll
from kvmkeep.model.plan import Failure

_SHORTEST_PAUSE = 0.05
_SHORTEST_TIMEOUT = 1.0


def wait_for(hands: Hands, poll: Poll) -> Failure | None:
    """Repeat the command until it succeeds; a missing program is not waited for.

    Raises StopAsked as soon as somebody asks to stop.
    """
    clock = hands.door.clock
    hands.journal.poll_begins(poll)
    began = clock()
    passed = 0.0
    tries = 0
    while True:
        stop_if_asked(hands, poll.message)
        hands.ui.waiting(poll.message, passed, poll.limit)
        left = max(poll.limit - passed, _SHORTEST_TIMEOUT)
        command = replace(poll.command, timeout=min(poll.command.timeout, left))
        result = hands.door.run(command)
        tries += 1
        passed = clock() - began
        if result.ok or result.code == NOT_FOUND or passed >= poll.limit:
            break
        hands.door.sleep(max(min(poll.every, poll.limit - passed), _SHORTEST_PAUSE))
        passed = clock() - began
    hands.journal.poll_ends(poll, result, tries, passed)
    if result.ok:
        return None
    stop_if_asked(hands, poll.message)
    failure = failure_of(poll.command, result)
    if result.code == NOT_FOUND:
        return replace(failure, doing=poll.message)
    limit = f"It did not succeed within {poll.limit:.0f} s ({tries} tries)."
    problem = " ".join(part for part in (failure.problem, limit, poll.otherwise) if part)
    return replace(failure, doing=poll.message, problem=problem)
