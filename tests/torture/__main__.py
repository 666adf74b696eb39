"""Strike the host in N rounds, and tell what it did."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

import sites

from lab.machine import Lab
from tests.torture import backups, deeds
from tests.torture.aim import watch
from tests.torture.round import Draw, begin, play


def main() -> int:
    """Return 0 if all held, 1 at the first round in which something did not."""
    options = _parser().parse_args()
    lab = Lab(f"torture-{os.getpid()}", forgetful=True)
    ended: Counter[str] = Counter()
    host = sites.day(lab)
    if options.phases:
        watch(host)
    oath = begin(host, backups.prepare if options.backups else deeds.nothing)
    for number in range(options.first, options.first + options.rounds):
        draw = _draw(options, number)
        print(f"round {number}: {draw}", flush=True)
        round_ = play(host, oath, draw)
        oath = round_.oath
        print(f"round {number}: {round_.word}: {'; '.join(round_.wrong) or 'all held'}", flush=True)
        ended.update(str(strike.blow) for strike in draw.strikes)
        ended[draw.deed.name] += 1
        if round_.wrong:
            print(f"The lab {lab.name} is left running. Once more: {_again(options, number)}")
            return 1
    print(f"all held (seed {options.seed}): {dict(ended)}")
    lab.down()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--seed", default=time.strftime("%Y%m%d"))
    parser.add_argument(
        "--cuts", type=int, help="so many in each round (default: 1, or 2 in a third)"
    )
    parser.add_argument(
        "--deaths", type=int, help="no power cuts: so many processes die in each round"
    )
    parser.add_argument(
        "--phases", action="store_true", help="cut in each phase of a deed, one deed in a round"
    )
    parser.add_argument("--backups", action="store_true", help="back up, restore and prove")
    return parser


def _draw(options: argparse.Namespace, number: int) -> Draw:
    chosen = backups.DEEDS if options.backups else deeds.DEEDS
    if options.phases:
        return Draw.of_phases(options.seed, chosen[number % len(chosen)])
    if options.deaths:
        return Draw.of_processes(options.seed, number, options.deaths, chosen)
    return Draw.of(options.seed, number, options.cuts, chosen)


def _again(options: argparse.Namespace, number: int) -> str:
    words = {
        "CUTS": options.cuts,
        "DEATHS": options.deaths,
        "PHASES": options.phases or None,
        "BACKUPS": options.backups or None,
    }
    more = "".join(f" {name}={int(value)}" for name, value in words.items() if value is not None)
    return f"make torture N=1 FIRST={number} SEED={options.seed}{more}"


if __name__ == "__main__":
    sys.exit(main())
