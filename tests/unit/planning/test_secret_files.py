"""The password was let go between the choice of a backup and its plan: nothing is planned."""

from __future__ import annotations

import pytest
from fakes.files import roots_own
from fakes.host import FakeHost

from kvmkeep.model.plan import Plan
from kvmkeep.model.secret_file import SecretFile
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.planning.backups.copy_out import plan_copy_out_of
from kvmkeep.planning.backups.fetch import Subject
from kvmkeep.planning.backups.restore import plan_restore
from kvmkeep.planning.backups.restoring import BackupRestoreRequest
from kvmkeep.planning.backups.to_file import DiskToFile, plan_to_file
from kvmkeep.planning.offline.copy_out import CopyOut
from tests.unit.planning.build import GIB
from tests.unit.planning.proven import ASKED, prover, site_with_backup
from tests.unit.planning.test_backup_restore import as_new

PATH = "/root/backup.password"
OPEN = SecretFile(path=PATH, kind="file", mode=0o640)


def restored(host: FakeHost, site: Spec, subject: Subject) -> Plan:
    wish = BackupRestoreRequest(subject=subject, guest=site.guests[0], asked=ASKED)
    return plan_restore(site, host.facts(site), wish)


def proven(host: FakeHost, site: Spec, subject: Subject) -> Plan:
    return prover(host, subject)(site, host.facts(site))


def in_a_file(host: FakeHost, site: Spec, subject: Subject) -> Plan:
    way = roots_own("/srv")
    wish = DiskToFile(subject=subject, disk="root", path="/srv/root.raw", way=way)
    return plan_to_file(site, host.facts(site), wish, there=False)


def copied(host: FakeHost, site: Spec, subject: Subject) -> Plan:
    wish = CopyOut(
        guest="web", paths=("/etc/fstab",), directory="/root/back", largest=Size(GIB),
        way=roots_own("/root/back"),
    )  # fmt: skip
    return plan_copy_out_of(site, host.facts(site), subject, wish)


@pytest.mark.parametrize("plan", [restored, as_new, proven, in_a_file, copied])
def test_what_brings_something_back_is_refused(plan) -> None:  # noqa: ANN001 - a planner
    host, site, subject = site_with_backup()
    host.libvirt.domains["web"].end("shutdown")
    assert plan(host, site, subject).refusals == ()
    host.secrets[PATH] = OPEN
    (refusal,) = plan(host, site, subject).refusals
    assert refusal.reason == f"{PATH} is not for root alone (its mode is 0640)"
    assert (refusal.hint, refusal.unready) == (f"chmod 600 {PATH}", True)
