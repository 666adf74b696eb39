"""The alert rules that the docs give, and the table of metrics, against what is written."""

from __future__ import annotations

import re
from pathlib import Path

import yaml  # noqa: TID251 - no MAC addresses in it

from kvmkeep.health.measures import measures
from kvmkeep.model.health import Finding, Severity
from kvmkeep.report.metrics import PREFIX, metrics_text
from tests.unit.health.build import FACTS, SPEC, VITALS
from tests.unit.report.test_metrics import NOW

DOCS = Path(__file__).parents[3] / "docs"
SEVERITIES = {"critical", "warning"}


def written() -> set[str]:
    """Return the names of all metrics."""
    text = metrics_text((), measures(SPEC, FACTS, VITALS), NOW).decode()
    return set(re.findall(r"^# TYPE (\w+) gauge$", text, re.MULTILINE))


def finding(severity: Severity) -> Finding:
    return Finding(name="x", severity=severity, subject="x", what="x", why="x", todo="x")


def test_the_rules_ask_for_metrics_that_are_there() -> None:
    (group,) = yaml.safe_load((DOCS / "kvmkeep-alerts.yaml").read_text())["groups"]
    rules = group["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        asked = set(re.findall(rf"{PREFIX}\w+", rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= written()
        assert rule["labels"]["severity"] in SEVERITIES
        # Labels of the summary are labels of the metric, or Prometheus' own.
        used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert used <= {"instance", "subject", "finding", "array", "disk", "set", "guest"}


def test_no_rule_asks_for_backups_beside_their_findings() -> None:
    # How old one may be is for its schedule to say, and how bad a proof is for the finding
    # backup-proof-failed: it is a warning where a rung came to no answer.
    (group,) = yaml.safe_load((DOCS / "kvmkeep-alerts.yaml").read_text())["groups"]
    assert not [rule["alert"] for rule in group["rules"] if f"{PREFIX}backup_" in rule["expr"]]


def test_each_metric_is_told_in_the_docs_and_no_other() -> None:
    told = re.findall(rf"`({PREFIX}\w+)`", (DOCS / "how-to" / "monitoring.md").read_text())
    assert sorted(told) == sorted(written())


def test_a_host_whose_metrics_are_gone_is_told() -> None:
    # A comparison with nothing is nothing: it can't tell of a file that was deleted.
    (group,) = yaml.safe_load((DOCS / "kvmkeep-alerts.yaml").read_text())["groups"]
    stamp = f"{PREFIX}check_timestamp_seconds"
    ends = f"unless on (instance) {stamp}"
    assert [rule["alert"] for rule in group["rules"] if rule["expr"].endswith(ends)]


def test_a_host_stays_gone_over_the_holidays_and_a_clock_ahead_hides_none() -> None:
    (group,) = yaml.safe_load((DOCS / "kvmkeep-alerts.yaml").read_text())["groups"]
    rules = {rule["alert"]: rule for rule in group["rules"]}
    assert "[90d]" in rules["KvmkeepGone"]["expr"]
    assert rules["KvmkeepSilent"]["expr"].startswith("abs(time() - ")
    # `check` that fails has no findings of guests any more: what was critical seems mended.
    blind = rules["KvmkeepBlind"]
    assert (blind["for"], blind["labels"]["severity"]) == ("15m", "critical")
    series, _, threshold = blind["expr"].partition(" > ")
    assert threshold == "0"
    # A known trouble, whose alert somebody silenced, must not hide it.
    for known in ((), (Severity.CRITICAL,)):
        found = tuple(finding(severity) for severity in (*known, Severity.UNKNOWN))
        assert f"{series} 1\n" in metrics_text(found, (), NOW).decode()


def test_a_guest_that_reboots_from_within_pages_nobody_at_once() -> None:
    (group,) = yaml.safe_load((DOCS / "kvmkeep-alerts.yaml").read_text())["groups"]
    waits = {
        rule["expr"]: rule["for"]
        for rule in group["rules"]
        if f'{PREFIX}finding{{severity="critical"' in rule["expr"]
    }
    assert waits == {
        f'{PREFIX}finding{{severity="critical",finding!="guest-not-ready"}} == 1': "3m",
        f'{PREFIX}finding{{severity="critical",finding="guest-not-ready"}} == 1': "10m",
    }


def test_the_guide_starts_each_timer_that_it_writes() -> None:
    text = (DOCS / "how-to" / "monitoring.md").read_text()
    written_there = set(re.findall(r"^# /etc/systemd/system/(\S+\.timer)$", text, re.MULTILINE))
    started = set(re.findall(r"^ {4}systemctl enable --now (\S+)$", text, re.MULTILINE))
    assert written_there == started != set()
