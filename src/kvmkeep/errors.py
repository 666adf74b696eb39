"""What can go wrong, sorted by what the administrator can do about it.

Each class has the exit code of the documented table. Codes 2 to 6 promise that nothing was
touched. The text says what is wrong; the hint says what to type or to change.
"""

from __future__ import annotations

from typing import ClassVar


class KvmkeepError(Exception):
    """Base of all expected errors; carries a hint for the administrator."""

    exit_code: ClassVar[int] = 1
    touched: ClassVar[str] = "Nothing was touched."

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(KvmkeepError):
    """The command line is wrong."""

    exit_code = 2


class PluginUsageError(UsageError):
    """The command line of `check` is wrong: 2 would mean CRITICAL to a monitoring system, so 3."""

    exit_code = 3


class SpecError(KvmkeepError):
    """The spec has mistakes; the message holds one `file:line:column: ...` line for each."""

    exit_code = 3


class Refused(KvmkeepError):
    """A guard refuses: it would destroy, it is not ours, or it does not fit."""

    exit_code = 4


class Unready(KvmkeepError):
    """The host is not ready: a tool, a permission or a service is missing."""

    exit_code = 5


class Busy(KvmkeepError):
    """Another run holds the `lock`, a path; the message says who."""

    exit_code = 6

    def __init__(self, message: str, *, hint: str = "", lock: str = "") -> None:
        super().__init__(message, hint=hint)
        self.lock = lock


UNTOUCHED = (UsageError, SpecError, Refused, Unready, Busy)
"""Errors of a run that ended before its first step; exit codes 2 to 6."""


class StepFailed(KvmkeepError):
    """A run stopped at step k of n; running it again goes on from there.

    `argv` is the command that is to blame, or empty.
    """

    exit_code = 7
    touched = "The steps before it were done. Nothing was lost; run it again to go on."

    def __init__(self, message: str, *, hint: str = "", argv: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.argv = argv


class NotStored(StepFailed):
    """A disk did not get into a repository: the program that stores it was ended, or failed."""

    touched = "Nothing was stored."


class NotConverged(KvmkeepError):
    """All steps ran, but something is still to do for this command."""

    exit_code = 8
    touched = "All steps were done."


class Interrupted(KvmkeepError):
    """Stopped on request between two steps."""

    exit_code = 130
    touched = "The steps before it were done. Nothing was lost; run it again to go on."


class Declined(Interrupted):
    """Stopped on request before the first step."""

    touched = "Nothing was touched."


NEEDS_ATTENTION = 9
"""Exit code of a verb that ran to its end, where what it tells needs somebody to look at it.

Of those that only look: something differs from what is wanted, or could not be seen. Of those that
act: there is something that they could not help.
"""
