"""`kvmkeep report`: one page about this host, to be mailed, printed and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import Unready

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.report.html import Page

LIMIT = 60
"""Seconds for the whole look; it takes one or two where nothing hangs."""


class Args(Struct, frozen=True, kw_only=True):
    """Where the page goes."""

    html: str


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--html",
        metavar="FILE",
        required=True,
        help="write the page to this file: how the host is, a picture of it, what is wrong",
    )


def run(args: Args, ctx: Context) -> int:
    """Look, judge as `check` does, and write the page; what hangs is told, and not waited for."""
    from kvmkeep.cli.publish import publish  # noqa: PLC0415
    from kvmkeep.model.health import worst  # noqa: PLC0415
    from kvmkeep.report.html import html  # noqa: PLC0415

    try:
        page = _page(ctx.hurried(LIMIT))
    except OSError as error:  # a file that nobody gets in time
        reason = f"{error.filename or 'a file'}: {error.strerror or error}"
        raise Unready(reason, hint="what is wrong with it: kvmkeep check") from error
    # It tells names and addresses: who else may read it is the administrator's to say.
    publish(ctx, args.html, html(page), "tell how the host is", 0o600)
    status = worst(page.findings).value
    if ctx.json:
        ctx.print_json({"file": args.html, "status": status})
    else:
        ctx.streams.result(f"{args.html}: {page.spec.host.name} is {status}")
    return 0


def _page(ctx: Context) -> Page:
    """Return what the page tells; raises OSError where a file is not read in time."""
    from kvmkeep.cli.examine import examine  # noqa: PLC0415
    from kvmkeep.health.judge import judge  # noqa: PLC0415
    from kvmkeep.planning.plan import make_plan  # noqa: PLC0415
    from kvmkeep.report.html import Page  # noqa: PLC0415

    spec = ctx.spec()
    facts = ctx.observe(spec)
    vitals = examine(ctx, spec, facts, answers=True)
    findings = judge(spec, facts, make_plan(spec, facts, ()), vitals)
    return Page(spec=spec, facts=facts, vitals=vitals, findings=findings)
