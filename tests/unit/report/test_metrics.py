"""The metrics, read by the parser of Prometheus' own client library and by a strict one of ours."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from kvmkeep.health.measures import measures
from kvmkeep.model.health import Finding, Measure, Sample, Severity
from kvmkeep.model.units import Size
from kvmkeep.model.vitals import GuestAnswer, Mismatches, PhysicalDisk
from kvmkeep.report.metrics import metrics_text
from tests.unit.health.build import DISK, FACTS, SPEC, VITALS, volume

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)
FAMILY = re.compile(
    r"# HELP (kvmkeep_[a-z_]+) [A-Z][^\n]*\.\n# TYPE \1 gauge\n"
    r'(?:\1(?:\{(?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? [0-9.e+-]+\n)*'
)

SUBJECTS = st.text(st.characters(), max_size=20)
FINDINGS = st.builds(
    Finding, name=st.sampled_from(["array-failed", "seed-left"]),
    severity=st.sampled_from(list(Severity)), subject=SUBJECTS,
    what=SUBJECTS, why=SUBJECTS, todo=SUBJECTS,
)  # fmt: skip


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return each series with its value; a series that stands twice is refused."""
    assert "".join(one[0] for one in FAMILY.finditer(text)) + "# EOF\n" == text
    strict = list(openmetrics.text_string_to_metric_families(text))
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    assert found == {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in strict
        for sample in family.samples
    }
    return found


@given(st.lists(FINDINGS, max_size=5), SUBJECTS)
def test_whatever_is_found_the_file_is_clean(found: list[Finding], label: str) -> None:
    figure = Measure(
        name="x_bytes", help="X", samples=(Sample(value=1.5, labels=(("guest", label),)),)
    )
    # What is no UTF-8 is replaced, so that the reader does not refuse the file.
    text = metrics_text(tuple(found), (figure,), NOW).decode("utf-8")
    series = read(text)
    clean = label.encode("utf-8", "replace").decode()
    assert series["kvmkeep_x_bytes", (("guest", clean),)] == 1.5
    counts = {key[1][0][1]: value for key, value in series.items() if key[0] == "kvmkeep_findings"}
    assert sum(counts.values()) == len(found)
    assert counts.keys() == set(Severity)


def test_the_figures_of_a_host() -> None:
    snapshot = volume(
        "vm-web-s", origin="vm-web", size=Size(1 << 30), filled_percent=12.5,
        tags=(*DISK.tags, "kvmkeep.set=20261123T0710Z", "kvmkeep.members=1"),
    )  # fmt: skip
    facts = replace(FACTS, volumes=(*FACTS.volumes, snapshot))
    vitals = replace(
        VITALS, inside=(GuestAnswer(guest="web", ready=False, silent="x", up=None),),
        mismatches=(
            Mismatches(array="md0", sectors=128, action="check"),
            Mismatches(array="md1", sectors=1439285488, action="resync"),
        ),
        disks=(
            PhysicalDisk(name="sda", passed=True, reallocated=3, pending=0, uncorrectable=0, celsius=31),
            PhysicalDisk(name="nvme0n1", passed=False, worn_percent=104, uncorrectable=7),
            PhysicalDisk(name="sdb", silent="it has no SMART"),
        ),
    )  # fmt: skip
    series = read(metrics_text((), measures(SPEC, facts, vitals), NOW).decode())
    web = (("guest", "web"),)
    wanted = {
        ("kvmkeep_check_status", ()): 0,
        ("kvmkeep_check_timestamp_seconds", ()): 1795503600,
        ("kvmkeep_findings", (("severity", "critical"),)): 0,
        ("kvmkeep_array_missing_members", (("array", "md0"),)): 0,
        ("kvmkeep_array_mismatched_sectors", (("array", "md0"),)): 128,
        ("kvmkeep_disk_healthy", (("disk", "nvme0n1"),)): 0,
        ("kvmkeep_disk_worn_ratio", (("disk", "nvme0n1"),)): 1.04,
        ("kvmkeep_disk_pending_sectors", (("disk", "sda"),)): 0,
        ("kvmkeep_disk_reallocated_sectors", (("disk", "sda"),)): 3,
        ("kvmkeep_disk_uncorrectable_errors", (("disk", "nvme0n1"),)): 7,
        ("kvmkeep_disk_temperature_celsius", (("disk", "sda"),)): 31,
        ("kvmkeep_group_size_bytes", (("group", "rl_build"),)): 900 << 30,
        ("kvmkeep_group_free_bytes", (("group", "rl_build"),)): 500 << 30,
        ("kvmkeep_snapshot_filled_ratio", (*web, ("set", "20261123T0710Z"))): 0.125,
        ("kvmkeep_guest_running", web): 1,
        ("kvmkeep_guest_autostart", web): 1,
        ("kvmkeep_guest_ready", web): 0,
        ("kvmkeep_memory_bytes", ()): 64 << 30,
        ("kvmkeep_memory_promised_bytes", ()): 2 << 30,
        ("kvmkeep_trash_bytes", ()): 0,
        ("kvmkeep_clock_synchronized", ()): 1,
    }
    assert wanted.items() <= series.items()
    assert ("kvmkeep_disk_healthy", (("disk", "sdb"),)) not in series
    assert ("kvmkeep_array_mismatched_sectors", (("array", "md1"),)) not in series


def test_a_snapshot_that_cant_get_full_has_no_figure_to_alert_on() -> None:
    whole = volume(
        "vm-web-s", origin="vm-web", filled_percent=95.0,
        tags=(*DISK.tags, "kvmkeep.set=20261123T0710Z", "kvmkeep.members=1"),
    )  # fmt: skip
    facts = replace(FACTS, volumes=(*FACTS.volumes, whole))
    series = read(metrics_text((), measures(SPEC, facts, VITALS), NOW).decode())
    assert "kvmkeep_snapshot_filled_ratio" not in {name for name, _ in series}


def test_what_was_not_seen_has_no_figure() -> None:
    vitals = replace(VITALS, synchronized=None, mismatches=())
    series = read(metrics_text((), measures(SPEC, FACTS, vitals), NOW).decode())
    names = {name for name, _ in series}
    assert names.isdisjoint({"kvmkeep_clock_synchronized", "kvmkeep_array_mismatched_sectors"})
    twice = replace(FACTS, groups=(*FACTS.groups, *FACTS.groups))
    read(metrics_text((), measures(SPEC, twice, vitals), NOW).decode())
