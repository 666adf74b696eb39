"""How a guest runs: when it is ready, how long to wait, and what it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kvmkeep.model.run import (
    DEFAULT_STOP,
    Ready,
    ReadyAgent,
    ReadyConsole,
    ReadyDelay,
    ReadyTcp,
    Run,
)
from kvmkeep.model.text import printable
from kvmkeep.model.units import GuestName, parse_guest_name
from kvmkeep.spec.document import LONGEST
from kvmkeep.spec.guest_document import GuestFile, RunSection
from kvmkeep.spec.pattern import flaw
from kvmkeep.spec.source import Source
from kvmkeep.spec.sources import parse_directory

DEFAULT_TIMEOUT = 600

_DURATION = re.compile(r"(?P<number>[0-9]{1,9})\s*(?P<unit>s|min|h)?")
_SECONDS = {None: 1, "s": 1, "min": 60, "h": 3600}
_SHOWN_IN_CIRCLE = 8


def resolve_run(source: Source[GuestFile], section: RunSection, *, static: bool) -> Run:
    """Return how a guest runs. `static` tells whether it has a static address."""
    ready = source.parse(("run", "ready"), parse_ready, section.ready)
    if isinstance(ready, ReadyTcp) and not static:
        source.wrong(
            ("run", "ready"), "tcp needs a static address on a NIC (use agent or console:REGEX)"
        )
    path = ("run", "start_timeout")
    timeout = source.parse(path, parse_duration, section.start_timeout)
    limit = DEFAULT_TIMEOUT if timeout is None else timeout
    if isinstance(ready, ReadyDelay) and ready.seconds >= limit and path not in source.broken:
        source.wrong(("run", "ready"), f"the delay is not shorter than start_timeout, {limit} s")
    needs = [
        source.parse(("run", "needs", position), parse_guest_name, name)
        for position, name in enumerate(section.needs)
        if not _is_mount(name)
    ]
    mounts = [
        source.parse(("run", "needs", position), parse_directory, name)
        for position, name in enumerate(section.needs)
        if _is_mount(name)
    ]
    stop = source.parse(("run", "stop_timeout"), parse_duration, section.stop_timeout)
    return Run(
        autostart=section.autostart,
        needs=tuple(dict.fromkeys(name for name in needs if name is not None)),
        ready=ready or ReadyAgent(),
        start_timeout=limit,
        stop_timeout=DEFAULT_STOP if stop is None else stop,
        on_fail=section.on_fail,
        mounts=tuple(dict.fromkeys(path for path in mounts if path is not None)),
    )


def parse_ready(text: str) -> Ready:
    """Accept `agent`, `tcp:PORT`, `console:REGEX` or `delay:SECONDS`."""
    word, colon, rest = text.partition(":")
    match word, colon:
        case "agent", "":
            return ReadyAgent()
        case "tcp", ":":
            return ReadyTcp(port=_parse_port(rest))
        case "console", ":":
            if not rest.strip() or not rest.isprintable() or len(rest) > 500:
                raise ValueError("console: needs a regular expression of one line behind it")
            wrong = flaw(rest)
            if wrong:
                raise ValueError(f"its regular expression is none: {wrong} (try it with grep -E)")
            return ReadyConsole(pattern=rest)
        case "delay", ":":
            return ReadyDelay(seconds=parse_duration(rest))
        case _:
            raise ValueError(
                f"{printable(text)} is not known "
                "(one of agent, tcp:PORT, console:REGEX, delay:SECONDS)"
            )


def parse_duration(value: object) -> int:
    """Accept whole seconds, or text such as `90s`, `10min` or `1h`; return seconds."""
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        shown = printable(str(value))
        raise ValueError(f"{shown} is not a duration (seconds, or text such as 10min)")
    seconds = int(match["number"]) * _SECONDS[match["unit"]]
    if not 1 <= seconds <= LONGEST:
        raise ValueError(f"{seconds} s is out of range (from 1 s to a day)")
    return seconds


def check_needs(
    guests: Mapping[GuestName, tuple[Source[GuestFile], RunSection]], known: frozenset[str]
) -> None:
    """Note each need that is unknown, and each that closes a circle."""
    for guest, (source, section) in guests.items():
        for position, name in enumerate(section.needs):
            path = ("run", "needs", position)
            if name is None or _is_mount(name) or path in source.broken:
                continue
            if name == guest:
                source.wrong(path, "a guest can't need itself")
            elif name not in known:
                hint = "see guests/*.yaml; a mount is named by its absolute path"
                source.wrong(path, f"there is no guest {printable(name)} ({hint})")
    _check_circles(guests)


def _check_circles(
    guests: Mapping[GuestName, tuple[Source[GuestFile], RunSection]],
) -> None:
    """Walk the needs, each guest once, without recursion: a chain may be long."""
    done: set[str] = set()
    for start in guests:
        way: list[str] = [start]
        on_way: dict[str, int] = {start: 0}
        left = [list(enumerate(guests[start][1].needs))[::-1]]
        while way:
            guest = GuestName(way[-1])
            if guest in done or not left[-1]:
                done.add(way.pop())
                del on_way[guest]
                left.pop()
                continue
            position, name = left[-1].pop()
            if name is None or name not in guests or name in done or name == guest:
                continue
            if name in on_way:
                circle = [*way[on_way[name] :], name]
                source = guests[guest][0]
                hint = "take one of them out"
                text = f"needs go in a circle: {_show(circle)} ({hint})"
                source.wrong(("run", "needs", position), text)
                continue
            on_way[name] = len(way)
            way.append(name)
            left.append(list(enumerate(guests[GuestName(name)][1].needs))[::-1])


def _show(circle: list[str]) -> str:
    if len(circle) > _SHOWN_IN_CIRCLE:
        circle = [*circle[:4], "...", *circle[-3:]]
    return " -> ".join(circle)


def _is_mount(need: str | None) -> bool:
    return need is not None and need.startswith("/")


def _parse_port(text: str) -> int:
    if re.fullmatch(r"[1-9][0-9]{0,4}", text) is None or int(text) > 65535:
        raise ValueError(f"{printable(text)} is not a TCP port (1 to 65535)")
    return int(text)
