"""`kvmkeep report`: one page about this host, to be mailed, printed and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


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
    from html import escape

    from kvmkeep.cli.examine import examined_or_unready
    from kvmkeep.cli.hints import with_spec
    from kvmkeep.cli.publish import publish
    from kvmkeep.model.health import worst
    from kvmkeep.report.html import Page, html

    seen = examined_or_unready(ctx, answers=True)
    page = Page(spec=seen.spec, facts=seen.facts, vitals=seen.vitals, findings=seen.findings)
    told = with_spec(html(page).decode(), ctx.spec_dir, escape).encode()
    # It tells names and addresses: who else may read it is the administrator's to say.
    publish(ctx, args.html, told, "tell how the host is", 0o600)
    status = worst(page.findings).value
    if ctx.json:
        ctx.print_json({"file": args.html, "status": status})
    else:
        ctx.streams.result(f"{args.html}: {page.spec.host.name} is {status}")
    return 0
