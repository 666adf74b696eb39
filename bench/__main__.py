"""`python -m bench [PART...]`: compare kvmkeep with what one would use instead."""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from bench import report
from bench.figure import BenchError, Figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.labhost import LabHost

ALONE = ("startup", "listing", "planning", "backups")
IN_THE_LAB = ("images", "apply", "day", "guard", "outage")


def main(arguments: Sequence[str]) -> int:
    """Measure the chosen parts; a missed goal is said, and is no failure."""
    parser = _parser()
    options = parser.parse_args(arguments)
    parts = options.part or [*ALONE, *IN_THE_LAB]
    unknown = set(parts) - {*ALONE, *IN_THE_LAB}
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    figures: list[Figure] = []
    troubles: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kvmkeep-bench-") as place:
        for part in (part for part in ALONE if part in parts):
            _say(f"measuring {part}")
            try:
                figures += import_module(f"bench.{part}").measure(Path(place), options.repeat)
            except BenchError as error:
                troubles.append(f"{part}: {error}")
    wanted = [part for part in IN_THE_LAB if part in parts]
    if wanted:
        _in_the_lab(wanted, options, figures, troubles)
    _print(figures, troubles)
    if options.json:
        options.json.write_text(report.as_json(figures))
    return 1 if troubles else 0


def _in_the_lab(
    parts: Sequence[str],
    options: argparse.Namespace,
    figures: list[Figure],
    troubles: list[str],
) -> None:
    from bench.labhost import opened  # noqa: PLC0415 - only these parts need the lab

    try:
        with opened(options.lab, keep=options.keep) as host:
            for part in parts:
                _say(f"measuring {part}, in the lab")
                try:
                    figures.extend(_measure_in(host, part, options.repeat))
                except BenchError as error:
                    troubles.append(f"{part}: {error}")
    except BenchError as error:
        troubles.append(f"the lab: {error}")


def _measure_in(host: LabHost, part: str, repetitions: int) -> Iterable[Figure]:
    found: Iterable[Figure] = import_module(f"bench.{part}").measure(host, repetitions)
    return found


def _print(figures: Sequence[Figure], troubles: Sequence[str]) -> None:
    if figures:
        print(f"{report.machine()}; smallest / median / largest; judged by the median\n")
        print(report.table(figures))
        said = report.remarks(figures)
        if said:
            print(f"\n{said}")
    missed = [figure.name for figure in figures if figure.verdict == "MISSED"]
    if missed:
        print(f"\nGoals missed: {len(missed)} ({'; '.join(missed)})")
    for trouble in troubles:
        _say(f"not measured: {trouble}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Compares kvmkeep with what one would use instead."
    )
    names = (*ALONE, *IN_THE_LAB)
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of {', '.join(names)}")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument("--lab", default="bench", help="which lab to use (default bench)")
    parser.add_argument("--keep", action="store_true", help="leave the lab running")
    return parser


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
