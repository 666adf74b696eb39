"""One round: a deed, the blows, the recovery, the deed again, and what must hold then."""

from __future__ import annotations

import random
import shlex
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sites import ALPHA

from lab.errors import LabError
from tests.torture import recovery
from tests.torture.aim import When
from tests.torture.blow import PROCESSES, Blow, Strike
from tests.torture.deeds import DEEDS, MARK, Deed, good, nothing
from tests.torture.oath import Oath

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from labhost import Host

    from lab.machine import Result

TRIES = 3
SECOND = 1 / 3
"""How many of the rounds cut the power a second time, unless all shall be cut equally often."""
RECOVERY = 60.0
"""A cut in the recovery comes within so many seconds after the host answers again."""
INTO = 4.0
"""A cut in the middle of a command comes within so many seconds of its begin."""
LONG = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What the dice say of a round."""

    deed: Deed
    strikes: tuple[Strike, ...]

    @classmethod
    def of(
        cls, seed: str, number: int, cuts: int | None = None, deeds: Sequence[Deed] = DEEDS
    ) -> Draw:
        """Draw a round of power cuts: the same for the same seed, number, and number of cuts."""
        dice = random.Random(f"{seed}:{number}")  # noqa: S311 - it must be the same again
        deed = dice.choice(deeds)
        first = Strike(blow=Blow.POWER, after=dice.uniform(0.5, deed.lasts), asked=True)
        twice = dice.random() < SECOND
        further = []
        for _ in range(int(twice) if cuts is None else cuts - 1):
            after = dice.uniform(0, RECOVERY)
            further.append(Strike(blow=Blow.POWER, after=after, asked=dice.random() < 1 / 2))
        return cls(deed=deed, strikes=(first, *further))

    @classmethod
    def of_processes(
        cls, seed: str, number: int, deaths: int, deeds: Sequence[Deed] = DEEDS
    ) -> Draw:
        """Draw a round in which so many processes die, likewise."""
        dice = random.Random(f"{seed}:{number}:{deaths}")  # noqa: S311 - likewise
        deed = dice.choice(deeds)
        strikes = (
            Strike(blow=dice.choice(PROCESSES), after=dice.uniform(0.5, deed.lasts / 2), asked=True)
            for _ in range(deaths)
        )
        return cls(deed=deed, strikes=tuple(strikes))

    @classmethod
    def of_phases(cls, seed: str, deed: Deed) -> Draw:
        """Draw a round in which the power is cut in each phase of a deed, one after another."""
        dice = random.Random(f"{seed}:{deed.name}")  # noqa: S311 - likewise
        strikes = (
            Strike(
                blow=Blow.POWER,
                after=dice.uniform(0, INTO) if aim.when is When.DURING else 0,
                asked=True,
                aim=aim,
            )
            for aim in deed.phases
        )
        return cls(deed=deed, strikes=tuple(strikes))

    def __str__(self) -> str:
        return ", ".join((self.deed.name, *map(str, self.strikes)))


class Running:
    """A deed under way, in a thread of its own."""

    def __init__(self, host: Host, deed: Deed) -> None:
        self._result: Result | None = None
        line = " ".join(
            word if word.startswith("$(") else shlex.quote(word) for word in ("kvmkeep", *deed.argv)
        )

        def run() -> None:
            try:
                self._result = host.run(line, limit=LONG)
            except LabError:
                return  # the power went

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Return once it ended, or after so many seconds."""
        self._thread.join(seconds)

    @property
    def ended(self) -> bool:
        """Whether it has ended, in whatever way."""
        return not self._thread.is_alive()

    @property
    def acknowledged(self) -> bool:
        """Whether it has ended and said that it is done."""
        return self._result is not None and self._result.returncode == 0


@dataclass(slots=True)
class _Struck:
    """How the deed and the recoveries went under the blows."""

    acknowledged: bool = False
    seconds: float = 0
    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        end = "acknowledged" if self.acknowledged else "broken off"
        return "; ".join((end, f"up after {self.seconds:.0f} s", *self.missed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What is wrong after a round, a word about how it went, and what must hold after the next."""

    wrong: tuple[str, ...]
    word: str
    oath: Oath


def begin(host: Host, prepare: Callable[[Host], None] = nothing) -> Oath:
    """Prepare a host with both guests running for its rounds; return what must hold after each."""
    host.ssh("root", ALPHA, f"echo {MARK} > /root/mark; sync")
    prepare(host)
    good(host, "install-units", "--yes")
    return Oath.sworn(host)


def play(host: Host, oath: Oath, draw: Draw) -> Ended:
    """Play a round."""
    deed = draw.deed
    deed.prepare(host)
    struck = _in_phases(host, draw) if draw.strikes[0].aim else _struck(host, draw)
    wrong = struck.wrong
    if struck.acknowledged and not _is_done(host, deed):
        wrong.append("it was acknowledged, and is not there")
    for _ in range(TRIES):
        if _is_done(host, deed):
            break
        Running(host, deed).wait(LONG)
    else:
        wrong.append(f"not done after {TRIES} further runs")
    _go_back(host, deed)
    if host.ssh("root", ALPHA, "cat /root/mark").strip() != MARK:
        wrong.append("the file in the guest is not what it was")
    held = oath.renewed(host) if deed.renews else oath
    return Ended(wrong=(*wrong, *held.broken(host)), word=str(struck), oath=held)


def _is_done(host: Host, deed: Deed) -> bool:
    return host.run(deed.done).returncode == 0


def _go_back(host: Host, deed: Deed) -> None:
    """Lead back to where a round begins."""
    deed.undo(host)
    good(host, "apply", "--yes")
    host.until(f"ip netns exec campus ping -c 1 -W 2 {ALPHA}", limit=240, what="alpha answers")


def _in_phases(host: Host, draw: Draw) -> _Struck:
    """Cut the power at each moment that is aimed at, and go on from what the cut before it left.

    What is done by then is undone and begun anew. So is a deed that did not come by: what the
    cut before it had left over was less than that.
    """
    struck = _Struck()
    began = time.monotonic()
    deed = draw.deed
    for number, strike in enumerate(draw.strikes):
        if number and _is_done(host, deed):
            _go_back(host, deed)
            deed.prepare(host)
        running = _run_into(host, deed, strike)
        if running is None:
            _go_back(host, deed)
            deed.prepare(host)
            running = _run_into(host, deed, strike)
        if running is None:
            struck.wrong.append(f"it did not come by: {strike.aim}")
            continue
        running.wait(strike.after)
        strike.fall(host)
        running.wait(60)
        struck.acknowledged = running.acknowledged
        host.lab.boot()
        host.until(recovery.ENDED, limit=600, what="recovery has ended")
        struck.wrong += recovery.wrong(host)
    struck.seconds = time.monotonic() - began
    return struck


def _run_into(host: Host, deed: Deed, strike: Strike) -> Running | None:
    """Do a deed until it is where a strike is aimed at; return none if it ended without that."""
    assert strike.aim is not None
    strike.aim.take(host)
    running = Running(host, deed)
    there = strike.aim.comes_by(host, lambda: running.ended)
    return running if there else None


def _struck(host: Host, draw: Draw) -> _Struck:
    """Do the deed under the blows.

    The moment of a blow is what is drawn: there is nothing to wait for.
    """
    struck = _Struck()
    running = Running(host, draw.deed)
    began = time.monotonic()
    for number, strike in enumerate(draw.strikes):
        if number and strike.asked and running.ended:
            running = Running(host, draw.deed)
        if strike.asked:
            running.wait(strike.after)
        else:
            time.sleep(strike.after)
            if recovery.ended(host):
                struck.wrong += recovery.wrong(host)
        late = strike.asked and running.ended
        if not strike.fall(host):
            struck.missed.append(f"{strike.blow}: it did not run")
        elif late:
            struck.missed.append(f"{strike.blow} after its end")
        if strike.blow is Blow.POWER:
            running.wait(60)
            struck.acknowledged = struck.acknowledged or running.acknowledged
            began = time.monotonic() if number == 0 else began
            host.lab.boot()
    if draw.strikes[-1].blow is Blow.POWER:
        host.until(recovery.ENDED, limit=600, what="recovery has ended")
        struck.wrong += recovery.wrong(host)
    else:
        running.wait(LONG)
        struck.acknowledged = running.acknowledged
    struck.seconds = time.monotonic() - began
    return struck
