"""`kvmkeep check`: what is wrong with this host, for a person, a monitoring system, or a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.remember import remember
from kvmkeep.errors import KvmkeepError, PluginUsageError, Unready

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.health import Finding, Measure


LIMIT = 20
"""Seconds for the whole look; it takes one or two where nothing hangs."""
_LEAST = 4


class Args(Struct, frozen=True, kw_only=True):
    """Where the metrics go, empty for nowhere, and how many seconds the look may take."""

    prometheus: str
    limit: int


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--prometheus",
        metavar="FILE",
        default="",
        help="also write the metrics to this file, for node_exporter's textfile collector",
    )
    parser.add_argument(
        "--limit",
        metavar="SECONDS",
        type=int,
        default=LIMIT,
        help="how long the look may take; what did not answer is told (default: 20, least: 4)",
    )


def run(args: Args, ctx: Context) -> int:
    """Look, judge, and end with the exit code of a monitoring plugin: 0, 1, 2 or 3."""
    from kvmkeep.model.health import worst, worst_first
    from kvmkeep.report.health import findings_value, plugin_text

    if args.limit < _LEAST:
        raise PluginUsageError(f"--limit takes a number of seconds, at least {_LEAST}")
    host, findings, figures = _looked(ctx, args.limit)
    if args.prometheus:
        remember(ctx)
        trouble = _write(args.prometheus, findings, figures, ctx)
        findings = worst_first((*findings, *trouble))
    if ctx.json:
        value = {"host": host, "status": worst(findings).value}
        ctx.print_json({**value, "findings": findings_value(findings)})
    else:
        ctx.streams.result(plugin_text(host, findings))
    return worst(findings).code


def _looked(ctx: Context, limit: float) -> tuple[str, tuple[Finding, ...], tuple[Measure, ...]]:
    """Return the host's name, the findings and the figures.

    A plugin that can't look says unknown (3), which no other exit code of ours would tell.
    """
    from kvmkeep.cli.bug import report_bug
    from kvmkeep.cli.examine import examined, unread
    from kvmkeep.health.measures import measures

    try:
        seen = examined(ctx, answers=True, limit=limit, stand_in=True)
        host = seen.spec.host.name or "this host"
        return host, seen.findings, measures(seen.spec, seen.facts, seen.vitals)
    except KvmkeepError as error:
        return "this host", (_unknown("check", error.message, error.hint),), ()
    except OSError as error:
        return "this host", (_unknown("check", unread(error), ""),), ()
    except Exception as bug:  # noqa: BLE001 - 1, the exit code of a bug, would be a warning
        report_bug(bug, ctx.streams, debug=ctx.debug)
        said = f"a bug in kvmkeep: {type(bug).__name__}: {bug}"
        return "this host", (_unknown("check", said, ""),), ()


def _write(
    path: str, findings: tuple[Finding, ...], figures: tuple[Measure, ...], ctx: Context
) -> tuple[Finding, ...]:
    """Write the metrics; return what went wrong."""
    from kvmkeep.cli.publish import publish
    from kvmkeep.host.clock import utc_now
    from kvmkeep.report.metrics import metrics_text

    try:
        # node_exporter is not root.
        publish(ctx, path, metrics_text(findings, figures, utc_now()), "tell metrics", 0o644)
    except Unready as error:
        return (_unknown(f"metrics {path}", error.message, error.hint),)
    return ()


def _unknown(subject: str, reason: str, hint: str) -> Finding:
    from kvmkeep.model.health import Finding, Severity

    return Finding(
        name="check-failed",
        severity=Severity.UNKNOWN,
        subject=subject,
        what=reason,
        why="what is not seen may be well or not",
        todo=hint or "kvmkeep --debug check",
    )
