"""Have the power go at N moments of each deed, by the log of what was written."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

import sites

from lab.machine import Lab
from tests.replay.deeds import DEEDS
from tests.replay.story import Story


def main() -> int:
    """Return 0 if all held, else 1."""
    options = _parser().parse_args()
    lab = Lab(f"replay-{os.getpid()}")
    deeds = DEEDS[: 1 + [deed.name for deed in DEEDS].index(options.until)]
    story = Story(sites.day(lab), deeds)
    cuts = bad = 0
    for told in story.told:
        if options.only and told.deed.name not in options.only:
            continue
        dice = random.Random(f"{options.seed}:{told.deed.name}")  # noqa: S311 - the same again
        for moment in story.drawn(told, options.points, dice):
            wrong = story.cut(told, moment)
            cuts, bad = cuts + 1, bad + bool(wrong)
            span = story.spans[told.deed.name]
            where = (
                f"{told.deed.name} after {moment - span.begin} of {span.end - span.begin} writes"
            )
            print(f"{where}: {'; '.join(wrong) or 'all held'}", flush=True)
    print(f"{cuts} cuts (seed {options.seed}), {bad} of them with something wrong")
    lab.down()
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    names = [deed.name for deed in DEEDS]
    parser = argparse.ArgumentParser(prog="make replay", description=__doc__)
    parser.add_argument("--points", type=int, default=5, help="so many moments of each deed")
    parser.add_argument("--seed", default=time.strftime("%Y%m%d"))
    parser.add_argument("--until", choices=names, default=names[-1], help="the last deed to do")
    parser.add_argument("--only", choices=names, action="append", help="cut in these only")
    return parser


if __name__ == "__main__":
    sys.exit(main())
