"""One round: a deed, the cut, the recovery, the deed again, and what must hold then."""

from __future__ import annotations

import random
import shlex
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sites import ALPHA

from lab.errors import LabError
from tests.torture.deeds import DEEDS, MARK, Deed, good
from tests.torture.oath import Oath

if TYPE_CHECKING:
    from labhost import Host

    from lab.machine import Result

TRIES = 3
SECOND = 1 / 3
"""How many of the rounds cut the power a second time, unless all shall be cut equally often."""
RECOVERY = 60.0
"""A cut in the recovery comes within so many seconds after the host answers again."""
RECOVERED = (
    "! systemctl is-active --quiet kvmkeep-recover.service && systemctl show"
    " -p ExecMainExitTimestampMonotonic --value kvmkeep-recover.service | grep -vqx 0"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A further cut: so many seconds after the host is up again, with the deed asked for or not."""

    after: float
    asked: bool

    def __str__(self) -> str:
        return f"again {self.after:.1f} s after it is up{', asked for once more' * self.asked}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """What the dice say of a round. `delay` is the first cut's, in seconds from the deed's begin."""

    deed: Deed
    delay: float
    further: tuple[Cut, ...]

    @classmethod
    def of(cls, seed: str, number: int, cuts: int | None = None) -> Draw:
        """Draw a round: the same for the same seed, number, and number of cuts."""
        dice = random.Random(f"{seed}:{number}")  # noqa: S311 - it must be the same again
        deed = dice.choice(DEEDS)
        delay = dice.uniform(0.5, deed.lasts)
        twice = dice.random() < SECOND
        further = []
        for _ in range(int(twice) if cuts is None else cuts - 1):
            after = dice.uniform(0, RECOVERY)
            further.append(Cut(after=after, asked=dice.random() < 1 / 2))
        return cls(deed=deed, delay=delay, further=tuple(further))

    def __str__(self) -> str:
        return ", ".join(
            (f"{self.deed.name}, cut after {self.delay:.1f} s", *map(str, self.further))
        )


class Running:
    """A deed under way, in a thread of its own."""

    def __init__(self, host: Host, deed: Deed) -> None:
        self._result: Result | None = None
        line = " ".join(
            word if word.startswith("$(") else shlex.quote(word) for word in ("kvmkeep", *deed.argv)
        )

        def run() -> None:
            try:
                self._result = host.run(line, limit=900)
            except LabError:
                return  # the power went

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Return once it ended, or after so many seconds."""
        self._thread.join(seconds)

    @property
    def acknowledged(self) -> bool:
        """Whether it said that it is done."""
        self._thread.join(60)
        return self._result is not None and self._result.returncode == 0


def begin(host: Host) -> Oath:
    """Prepare a host with both guests running for its rounds; return what must hold after each."""
    host.ssh("root", ALPHA, f"echo {MARK} > /root/mark; sync")
    good(host, "install-units", "--yes")
    return Oath.sworn(host)


def play(host: Host, oath: Oath, draw: Draw) -> tuple[list[str], str]:
    """Play a round. Return what is wrong afterwards, and a word about how it went."""
    deed = draw.deed
    deed.prepare(host)
    running = Running(host, deed)
    running.wait(draw.delay)
    host.lab.cut()
    acknowledged = running.acknowledged
    began = time.monotonic()
    host.lab.boot()
    for cut in draw.further:
        # The moment is what is drawn here: there is nothing to wait for.
        if cut.asked:
            running = Running(host, deed)
            time.sleep(cut.after)
            host.lab.cut()
            acknowledged = running.acknowledged or acknowledged
        else:
            time.sleep(cut.after)
            host.lab.cut()
        host.lab.boot()
    host.until(RECOVERED, limit=600, what="recovery has ended")
    word = f"{'acknowledged' if acknowledged else 'cut'}; up after {time.monotonic() - began:.0f} s"
    wrong = []
    if acknowledged and host.run(deed.done).returncode:
        wrong.append("it was acknowledged, and is not there")
    for _ in range(TRIES):
        if host.run(deed.done).returncode == 0:
            break
        told = Running(host, deed)
        told.wait(900)
    else:
        wrong.append(f"not done after {TRIES} further runs")
    deed.undo(host)
    good(host, "apply", "--yes")
    host.until(f"ip netns exec campus ping -c 1 -W 2 {ALPHA}", limit=240, what="alpha answers")
    if host.ssh("root", ALPHA, "cat /root/mark").strip() != MARK:
        wrong.append("the file in the guest is not what it was")
    return wrong + oath.broken(host), word
