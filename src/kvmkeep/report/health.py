"""Findings as a monitoring plugin prints them, and as JSON.

The first line says how the host is and ends with performance data; more lines follow, which
plugins' readers show on demand (Monitoring Plugins' guidelines, "Plugin Output").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kvmkeep.model.health import Finding, Severity, worst

_INDENT = " " * 10


def plugin_text(host: str, findings: tuple[Finding, ...]) -> str:
    """Return all findings, the worst first, after one line about them all."""
    counts = Counter(one.severity for one in findings)
    data = " ".join(f"{one.value}={counts[one]}" for one in Severity if one is not Severity.OK)
    lines = [f"{_plain(_summary(host, findings))} | {data}"]
    for one in findings:
        lines += ["", *map(_plain, finding_lines(one))]
    return "\n".join(lines)


def finding_lines(one: Finding) -> list[str]:
    """Return a finding as a person reads it: what, why it matters, what to do."""
    return [
        f"{one.severity.upper():<9} {one.subject}: {one.what}",
        f"{_INDENT}why: {one.why}",
        f"{_INDENT}do:  {one.todo}",
    ]


def findings_value(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Return findings for JSON."""
    return [
        {
            "name": one.name,
            "severity": one.severity.value,
            "subject": one.subject,
            "what": one.what,
            "why": one.why,
            "todo": one.todo,
        }
        for one in findings
    ]


def _summary(host: str, findings: tuple[Finding, ...]) -> str:
    whole = worst(findings)
    word = whole.upper()
    if whole is Severity.OK:
        return f"{word}: {host} is well"
    first = findings[0]
    bad = [one for one in findings if one.severity is not Severity.OK]
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"{word}: {first.subject}: {first.what}{more}"


def _plain(text: str) -> str:
    """Return a line of its own; a bar in it would begin performance data."""
    return " ".join(text.replace("|", "/").splitlines()) or text
