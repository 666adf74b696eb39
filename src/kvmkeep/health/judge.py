"""All findings about a host, the worst first: the one judgement behind `check` and `status`."""

from __future__ import annotations

from kvmkeep.health.arrays import array_findings
from kvmkeep.health.backups import backup_findings
from kvmkeep.health.differences import difference_findings
from kvmkeep.health.disks import disk_findings
from kvmkeep.health.groups import group_findings
from kvmkeep.health.guests import guest_findings
from kvmkeep.health.host import host_findings
from kvmkeep.health.images import image_findings
from kvmkeep.health.journal import journal_findings
from kvmkeep.health.leftovers import leftover_findings
from kvmkeep.health.memory import memory_findings
from kvmkeep.health.networks import network_findings
from kvmkeep.health.patient import make_patient
from kvmkeep.health.snapshots import snapshot_findings
from kvmkeep.health.spec_files import spec_file_findings
from kvmkeep.health.units import unit_findings
from kvmkeep.health.unnamed import unnamed_findings
from kvmkeep.model.facts import Facts
from kvmkeep.model.health import Finding, worst_first
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.vitals import Vitals
from kvmkeep.planning.running.host_down import NO_SPEC

_JUDGES = (
    array_findings,
    disk_findings,
    group_findings,
    snapshot_findings,
    network_findings,
    memory_findings,
    guest_findings,
    unnamed_findings,
    backup_findings,
    unit_findings,
    spec_file_findings,
    host_findings,
    journal_findings,
    leftover_findings,
    image_findings,
    difference_findings,
)
_WITHOUT_SPEC = (
    array_findings,
    disk_findings,
    group_findings,
    host_findings,
    journal_findings,
)
"""What is well or not whatever is wanted."""


def judge(
    spec: Spec, facts: Facts, plan: Plan, vitals: Vitals, options: tuple[str, ...] = ()
) -> tuple[Finding, ...]:
    """Return what is wrong, and what should be known.

    `plan` is the one of `apply`; `options` are those by which kvmkeep finds this spec. Of `NO_SPEC`
    nothing follows for guests and networks.
    """
    patient = make_patient(spec, facts, plan, vitals, options)
    judges = _JUDGES if spec is not NO_SPEC else _WITHOUT_SPEC
    return worst_first(dict.fromkeys(one for judge in judges for one in judge(patient)))
