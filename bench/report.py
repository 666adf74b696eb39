"""Figures as a table for people and as JSON for everything else."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bench.figure import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.figure import Figure, Sample

JSON_VERSION = 1
_HEAD = ("figure", "kvmkeep", "against", "the other", "ratio or difference", "goal", "")


def machine() -> str:
    """Return what the figures were measured on."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, Linux {platform.release()}"


def table(figures: Iterable[Figure]) -> str:
    """Return the table; each sample is smallest / median / largest."""
    rows = [_HEAD, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], _line(["-" * width for width in widths], widths), *lines[1:]])


def remarks(figures: Iterable[Figure]) -> str:
    """Return what needs saying about the lines."""
    return "\n".join(f"{figure.name}: {figure.remark}" for figure in figures if figure.remark)


def as_json(figures: Sequence[Figure]) -> str:
    """Return everything that was measured."""
    value = {
        "version": JSON_VERSION,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": [asdict(figure) | {"verdict": figure.verdict} for figure in figures],
    }
    return json.dumps(value, indent=2) + "\n"


def _row(figure: Figure) -> tuple[str, ...]:
    alone = figure.judged == figure.ours
    return (
        f"{figure.part}: {figure.name}",
        str(figure.ours),
        figure.against,
        "" if figure.theirs is None else str(figure.theirs),
        "" if alone else _signed(figure.judged),
        "" if figure.goal is None else f"<= {figure.goal.limit:g} {figure.judged.unit}",
        figure.verdict,
    )


def _signed(sample: Sample) -> str:
    return f"+ {sample}" if sample.unit is Unit.MILLISECONDS else str(sample)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    pairs = zip(cells, widths, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()
