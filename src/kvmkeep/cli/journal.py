"""`kvmkeep journal`: what earlier runs did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.table import table
from kvmkeep.errors import UsageError
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.journal import Entry, Run

_SHOWN = 20
_LAST = "last"
_NO_OUTCOME = "goes on, or was killed"


class Args(Struct, frozen=True, kw_only=True):
    """Which run: a name or the beginning of one, `last`, or nothing for the list of runs."""

    run: str
    all: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "run", metavar="RUN", nargs="?", default="",
        help="a run's name as listed (its beginning is enough), or: last",
    )  # fmt: skip
    parser.add_argument(
        "--all", action="store_true", help=f"list every kept run, not only the last {_SHOWN}"
    )


def run(args: Args, ctx: Context) -> int:
    """List the runs, the newest first, or tell of one."""
    journals = ctx.journals()
    names = journals.names()
    if args.run:
        _show(journals.read(_find(args.run, names)), ctx)
        return 0
    runs = [journals.read(name) for name in reversed(names if args.all else names[-_SHOWN:])]
    if ctx.json:
        ctx.print_json({"runs": [_head(one) for one in runs]}, foreign=True)
    elif runs:
        ctx.streams.result(_list(runs, ctx.streams.width), foreign=True)
    else:
        ctx.streams.talk("No runs yet.")
    return 0


def _find(wanted: str, names: tuple[str, ...]) -> str:
    if not names:
        raise UsageError("there is no run yet")
    if wanted.lower() == _LAST:
        return names[-1]
    found = [name for name in names if name.startswith(wanted)]
    if len(found) != 1:
        many = "more than one run begins" if found else "no run begins"
        raise UsageError(f"{many} with {printable(wanted)}", hint="type: kvmkeep journal")
    return found[0]


def _head(one: Run) -> dict[str, object]:
    return {
        "name": one.name,
        "verb": one.verb,
        "started": one.started,
        "user": one.user,
        "pid": one.pid,
        "command_line": one.command_line,
        "outcome": one.outcome,
        "damaged": one.damaged,
    }


def _list(runs: list[Run], width: int) -> str:
    rows = [
        (one.name, one.user or "-", (one.outcome or _NO_OUTCOME).partition("\n")[0][:60])
        for one in runs
    ]
    return table(("RUN", "USER", "OUTCOME"), rows, width)


def _show(one: Run, ctx: Context) -> None:
    if ctx.json:
        entries = [{"time": e.time, "kind": e.kind, **dict(e.fields)} for e in one.entries]
        ctx.print_json({**_head(one), "entries": entries}, foreign=True)
        return
    lines = [f"{one.command_line or one.verb}", f"  by {one.user}, pid {one.pid}, {one.started}"]
    lines += [line for entry in one.entries for line in _told(entry, verbose=ctx.verbose)]
    lines.append(f"Ended: {one.outcome or _NO_OUTCOME}")
    if one.damaged:
        lines.append(f"{one.damaged} lines of this journal can't be read.")
    if one.newer:
        lines.append("A newer kvmkeep wrote this journal: some of it may be missing here.")
    ctx.streams.result("\n".join(lines), foreign=True)


def _told(entry: Entry, *, verbose: bool) -> list[str]:
    """Return the lines for one entry: the steps, the commands, and what ended badly."""
    get = entry.field
    time = entry.time[11:19]
    sentence = _SENTENCES.get(entry.kind)
    if sentence is not None:
        fields = dict(entry.fields)
        return [f"{time} {sentence.format_map(_Gaps(fields))}"]
    if entry.kind in {"ended", "waited"} and (get("ok") != "true" or (verbose and get("said"))):
        said = [f"             {line}" for line in get("said").splitlines()]
        return [f"{time}   ended with {get('code')}", *said]
    return []


class _Gaps(dict[str, str]):
    """Fields of a line; one that an older or torn line lacks is a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"


_SENTENCES = {
    "note": "{subject}: {text}",
    "step": "[{number}/{total}] {what}",
    "command": "  $ {argv}",
    "file": "  writes {path} (mode {mode}, {bytes} bytes)",
    "wait": "  waits: {message}",
    "checkpoint": "  network checkpoint: {what}",
    "step-ended": "  {outcome} after {seconds} s",
}
