"""How a guest is to run, as the spec says: with the host, after whom, and when it is ready."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from kvmkeep.model.units import GuestName


class ReadyAgent(Struct, frozen=True, kw_only=True):
    """Ready when the guest agent answers."""


class ReadyTcp(Struct, frozen=True, kw_only=True):
    """Ready when a TCP port of the guest's first static address takes a connection."""

    port: int


class ReadyConsole(Struct, frozen=True, kw_only=True):
    """Ready when a line of the serial log since the start matches an extended regex."""

    pattern: str


class ReadyDelay(Struct, frozen=True, kw_only=True):
    """Ready a number of seconds after the start."""

    seconds: int


Ready = ReadyAgent | ReadyTcp | ReadyConsole | ReadyDelay


class OnFail(StrEnum):
    """What becomes of the guests that need one which is not ready in time."""

    HOLD = "hold"
    """They stay off."""
    CONTINUE = "continue"
    """They start all the same."""


DEFAULT_STOP = 300
"""Seconds that a guest gets to shut down."""


class Run(Struct, frozen=True, kw_only=True):
    """How a guest is to run. Both limits are in seconds: until it is ready, and until it is off.

    `needs` are guests, `mounts` mount points that must be there before it starts.
    """

    autostart: bool
    needs: tuple[GuestName, ...]
    ready: Ready
    start_timeout: int
    stop_timeout: int = DEFAULT_STOP
    on_fail: OnFail = OnFail.HOLD
    mounts: tuple[str, ...] = ()
