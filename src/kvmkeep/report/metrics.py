"""Findings and figures as node_exporter's textfile collector reads them.

That is Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats),
without timestamps, which the collector refuses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from kvmkeep.model.health import Finding, Measure, Sample, Severity, worst

PREFIX = "kvmkeep_"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def metrics_text(
    findings: tuple[Finding, ...], measures: Iterable[Measure], now: datetime
) -> bytes:
    """Return the content of the file."""
    counts = Counter(one.severity for one in findings)
    own = (
        Measure(
            name="check_status",
            help="The worst finding: 0 ok, 1 warning, 2 critical, 3 unknown",
            samples=(Sample(value=worst(findings).code),),
        ),
        Measure(
            name="check_timestamp_seconds",
            help="When this was looked at, in seconds since 1970",
            samples=(Sample(value=int(now.timestamp())),),
        ),
        Measure(
            name="findings",
            help="How many findings there are of a severity",
            samples=tuple(
                Sample(value=counts[one], labels=(("severity", one.value),)) for one in Severity
            ),
        ),
        Measure(name="finding", help="A finding", samples=tuple(_finding_samples(findings))),
    )
    # The end is for OpenMetrics' readers; to the others it is a comment.
    text = "".join(line for one in (*own, *measures) for line in _lines(one)) + "# EOF\n"
    return text.encode("utf-8", "replace")


def _finding_samples(findings: Iterable[Finding]) -> Iterator[Sample]:
    """Return one for each thing: a subject may have several findings of one name."""
    labels = (
        (
            ("finding", one.name),
            ("severity", one.severity.value),
            ("subject", one.subject),
        )
        for one in findings
    )
    return (Sample(value=1, labels=one) for one in dict.fromkeys(labels))


def _lines(measure: Measure) -> Iterator[str]:
    name = PREFIX + measure.name
    yield f"# HELP {name} {measure.help}.\n"
    yield f"# TYPE {name} gauge\n"
    for sample in measure.samples:
        labels = ",".join(f'{key}="{text.translate(_ESCAPES)}"' for key, text in sample.labels)
        value = float(sample.value)
        number = f"{value:.0f}" if value.is_integer() else repr(value)
        yield f"{name}{{{labels}}} {number}\n" if labels else f"{name} {number}\n"
