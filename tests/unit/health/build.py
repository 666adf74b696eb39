"""A host that is well, to be hurt in one place by each test."""

from __future__ import annotations

from msgspec.structs import fields, replace

from kvmkeep.health.judge import judge
from kvmkeep.model.domain_facts import Domain, DomainNic, DomainState
from kvmkeep.model.facts import FACTS_VERSION, Array, ArrayState, Facts, Volume, VolumeGroup
from kvmkeep.model.health import Finding, Severity
from kvmkeep.model.names import lv_tags
from kvmkeep.model.network_facts import Link, Management, Nm
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.model.vitals import MetadataBackup, Mismatches, Schedule, Space, Vitals
from tests.unit.planning.build import GIB, guest, network, spec

NOW = "2026-11-24T07:00:00Z"
WEB = guest()
SPEC = spec(WEB, networks=(network(ageing_time=300, stp=False),))
MAC = WEB.nics[0].mac


def link(name: str, **changes: object) -> Link:
    made = Link(
        name=name, kind="", mac="02:00:00:00:00:01", up=True, carrier=True, mtu=1500, master="",
        parent="", vlan_id=-1, ageing_time=-1, stp=False, forward_delay=-1, addresses=(),
    )  # fmt: skip
    return replace(made, **changes)


def volume(name: str, **changes: object) -> Volume:
    made = Volume(
        vg="rl_build", name=name, size=Size(4 * GIB), tags=(), active=True, opened=True,
        device="253:9", attributes="-wi-ao----",
    )  # fmt: skip
    return replace(made, **changes)


NIC = DomainNic(mac=MAC, bridge="virbr1.223", model="virtio", tap="vnet0")


def domain(name: str = "web", **changes: object) -> Domain:
    made = Domain(
        name=name, uuid=WEB.uuid, state=DomainState.RUNNING, persistent=True, autostart=True,
        ours=True, memory=Size(2 * GIB), vcpus=2, disks=(), nics=(), agent=True, serial_log="",
        xml="<domain/>", live_nics=(NIC,),
    )  # fmt: skip
    return replace(made, **changes)


BRIDGE = link("virbr1.223", kind="bridge", ageing_time=300, forward_delay=15)
PORT = link("uplink0.223", kind="vlan", vlan_id=223, parent="uplink0", master="virbr1.223")
TAP = link("vnet0", kind="tun", mac="fe" + MAC[2:], master="virbr1.223")
DISK = volume("vm-web", tags=lv_tags(GuestName("web"), Label("root")))
ARRAY = Array(
    name="md0", level="raid1", state=ArrayState.CLEAN, members=("sda", "sdb"), detail="2 of 2 run"
)
GROUP = VolumeGroup(
    name="rl_build", extent=Size(4 << 20), size=Size(900 * GIB), free=Size(500 * GIB),
    pvs=("/dev/md0",), missing_pvs=0,
)  # fmt: skip
FACTS = Facts(
    version=FACTS_VERSION, time=NOW, hostname="host", memory=Size(64 * GIB), cpus=8,
    arrays=(ARRAY,), groups=(GROUP,), volumes=(DISK, volume("root", device="253:0")),
    links=(link("uplink0"), BRIDGE, PORT, TAP),
    nm=Nm(running=True, profiles=(), device_paths=()),
    management=Management(interface="mgmt0", gateway="192.0.2.1", answers=True),
    domains=(domain(),), libvirt="9.0.0", emulator="/usr/bin/qemu", images=(), seeds=(), saved=(),
    tools=(), problems=(),
)  # fmt: skip
ROOT = Space(
    mount="/", size=Size(20 * GIB), free=Size(9 * GIB), inodes=1 << 20, inodes_free=1 << 19
)
VITALS = Vitals(
    mismatches=(Mismatches(array="md0", sectors=0, action="none"),),
    schedules=(Schedule(name="mdcheck_start.timer"),),
    spaces=(ROOT,),
    synchronized=True,
    backups=(MetadataBackup(vg="rl_build", seqno=7, saved=7),),
)


def findings(
    wanted: Spec = SPEC, plan: Plan | None = None, vitals: Vitals | None = None, **changes: object
) -> tuple[Finding, ...]:
    """Judge the host that is well, with some of its facts or signs replaced.

    Both have `problems`: those given are of the facts.
    """
    own = {one.name for one in fields(Vitals)} - {"problems"}
    signs = {key: changes.pop(key) for key in list(changes) if key in own}
    found = judge(
        wanted, replace(FACTS, **changes), plan or Plan(), replace(vitals or VITALS, **signs)
    )
    for one in found:
        for text in (one.name, one.subject, one.what, one.why, one.todo):
            assert text
            assert text == text.strip()
            assert "|" not in text
    return found


def only(severity: Severity, name: str, **changes: object) -> Finding:
    """Return the one finding there is, of this severity and name."""
    found = findings(**changes)
    assert [(one.severity, one.name) for one in found] == [(severity, name)]
    return found[0]
