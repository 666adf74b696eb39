"""Cut the power N times, and tell what it did."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

import sites

from lab.machine import Lab
from tests.torture.round import Draw, begin, play


def main() -> int:
    """Return 0 if all held, 1 at the first round in which something did not."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the number of the first round")
    parser.add_argument("--seed", default=time.strftime("%Y%m%d"))
    parser.add_argument(
        "--cuts", type=int, help="so many in each round (default: 1, or 2 in a third)"
    )
    options = parser.parse_args()
    lab = Lab(f"torture-{os.getpid()}", forgetful=True)
    ended: Counter[str] = Counter()
    cuts = 0
    host = sites.day(lab)
    oath = begin(host)
    for number in range(options.first, options.first + options.rounds):
        draw = Draw.of(options.seed, number, options.cuts)
        print(f"round {number}: {draw}", flush=True)
        wrong, word = play(host, oath, draw)
        print(f"round {number}: {word}: {'; '.join(wrong) or 'all held'}", flush=True)
        ended[draw.deed.name] += 1
        cuts += 1 + len(draw.further)
        if wrong:
            print(
                f"The lab {lab.name} is left running. Once more: make torture N=1"
                f" FIRST={number} SEED={options.seed}"
                + (f" CUTS={options.cuts}" if options.cuts else "")
            )
            return 1
    print(f"{cuts} cuts held (seed {options.seed}): {dict(ended)}")
    lab.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
