"""Cut the power N times, and tell what it did."""

from __future__ import annotations

import argparse
import os
import random
import shlex
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import sites
from sites import ALPHA

from lab.errors import LabError
from lab.machine import Lab, Result
from tests.torture.deeds import DEEDS, MARK, Deed, good
from tests.torture.oath import Oath

if TYPE_CHECKING:
    from labhost import Host

TRIES = 3


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


def round_of(host: Host, oath: Oath, deed: Deed, delay: float) -> tuple[list[str], str]:
    """Cut the power once. Return what is wrong afterwards, and a word about how it went."""
    deed.prepare(host)
    running = Running(host, deed)
    running.wait(delay)
    host.lab.cut()
    acknowledged = running.acknowledged
    began = time.monotonic()
    host.lab.boot()
    recovered = "! systemctl is-active --quiet kvmkeep-recover.service && systemctl show -p ExecMainExitTimestampMonotonic --value kvmkeep-recover.service | grep -vqx 0"
    host.until(recovered, limit=600, what="recovery has ended")
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


def main() -> int:
    """Return 0 if all held, 1 at the first round in which something did not."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--seed", default=time.strftime("%Y%m%d"))
    options = parser.parse_args()
    lab = Lab(f"torture-{os.getpid()}")
    ended: Counter[str] = Counter()
    host = sites.day(lab)
    host.ssh("root", ALPHA, f"echo {MARK} > /root/mark; sync")
    good(host, "install-units", "--yes")
    oath = Oath.sworn(host)
    for number in range(options.first, options.first + options.rounds):
        dice = random.Random(f"{options.seed}:{number}")  # noqa: S311 - it must be the same again
        deed = dice.choice(DEEDS)
        delay = dice.uniform(0.5, deed.lasts)
        print(f"round {number}: {deed.name}, cut after {delay:.1f} s", flush=True)
        wrong, word = round_of(host, oath, deed, delay)
        print(f"round {number}: {word}: {'; '.join(wrong) or 'all held'}", flush=True)
        ended[deed.name] += 1
        if wrong:
            print(
                f"The lab {lab.name} is left running. Once more: make torture N=1"
                f" FIRST={number} SEED={options.seed}"
            )
            return 1
    print(f"{options.rounds} cuts held (seed {options.seed}): {dict(ended)}")
    lab.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
