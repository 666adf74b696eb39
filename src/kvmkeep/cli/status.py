"""`kvmkeep status`: one screen that tells whether the host is as the spec says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import NEEDS_ATTENTION

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.cli.standing import Standing, Status
    from kvmkeep.model.health import Finding


class Args(Struct, frozen=True, kw_only=True):
    """No arguments of its own."""


def add(_parser: ArgumentParser) -> None:
    """Add the arguments: none."""


def run(_args: Args, ctx: Context) -> int:
    """Observe, plan, and tell how each thing stands; what hangs is told, and not waited for."""
    from msgspec.structs import replace

    from kvmkeep.cli.examine import examined_or_unready
    from kvmkeep.cli.standing import stand

    # Guests are not asked: `check` does that, and it takes two seconds.
    seen = examined_or_unready(ctx, answers=False)
    status = stand(seen.spec, seen.facts, seen.plan)
    status = replace(status, trouble=trouble(seen.findings))
    ctx.tell_problems(seen.facts)
    if ctx.json:
        ctx.print_json(as_json(status))
    else:
        ctx.streams.result(text(status, verbose=ctx.verbose))
    return 0 if status.as_spec else NEEDS_ATTENTION


def trouble(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return what is not told by the rest of the screen."""
    from kvmkeep.model.health import Severity

    return tuple(
        one
        for one in findings
        if one.severity is not Severity.OK and one.name not in _TOLD_ELSEWHERE
    )


_TOLD_ELSEWHERE = frozenset({"spec-differs", "spec-refused", "not-seen"})


def as_json(status: Status) -> dict[str, object]:
    """Return the screen as a document."""
    from kvmkeep.report.health import findings_value

    def some(standings: tuple[Standing, ...]) -> list[dict[str, object]]:
        return [
            {
                "subject": one.subject,
                "as_spec": one.level == max(type(one.level)),
                "refused": one.level == min(type(one.level)),
                "now": one.now,
                "todo": list(one.todo),
                "pending": list(one.pending),
            }
            for one in standings
        ]

    return {
        "as_spec": status.as_spec,
        "host": status.host,
        "memory": status.memory,
        "storage": some(status.storage),
        "networks": some(status.networks),
        "images": some(status.images),
        "guests": some(status.guests),
        "others": some(status.others),
        "notes": list(status.notes),
        "trouble": findings_value(status.trouble),
    }


def text(status: Status, *, verbose: bool = False) -> str:
    """Return the screen."""
    summary = "as the spec says" if status.as_spec else "NOT as the spec says"
    lines = [f"{status.host}: {summary}", ""]
    if status.trouble:
        lines += ["Trouble", *map(_trouble_line, status.trouble), ""]
    lines.append("Host")
    lines += [line for one in (*status.storage, *status.others) for line in _lines(one)]
    lines.append(f"  {'':8}memory: {status.memory}")
    for title, standings in (
        ("Networks", status.networks),
        ("Images", status.images),
        ("Guests", status.guests),
    ):
        if standings:
            lines += ["", title]
            lines += [line for one in standings for line in _lines(one)]
    if status.notes and verbose:
        lines += ["", "Notes", *(f"  {note}" for note in status.notes)]
    if status.trouble:
        lines += ["", "See: kvmkeep check"]
    if not status.as_spec:
        lines += ["", "See: kvmkeep plan"]
    return "\n".join(lines)


def _trouble_line(one: Finding) -> str:
    return f"  {one.severity.upper():8} {one.subject}: {one.what}"


def _lines(one: Standing) -> list[str]:
    from kvmkeep.cli.standing import WORDS

    name = one.subject.removeprefix("network ").removeprefix("image ").removeprefix("guest ")
    now = f": {one.now}" if one.now else ""
    return [
        f"  {WORDS[one.level]:8}{name}{now}",
        *(f"          - {what}" for what in (*one.todo, *one.pending)),
    ]
