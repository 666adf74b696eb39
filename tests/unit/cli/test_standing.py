from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Interface
from typing import Any

import pytest
from msgspec.structs import replace

from kvmkeep.cli.show import sections
from kvmkeep.cli.show import text as show_text
from kvmkeep.cli.signs import Signs
from kvmkeep.cli.standing import Level, stand
from kvmkeep.cli.status import as_json, text
from kvmkeep.cli.summary import facts_text
from kvmkeep.cli.table import table
from kvmkeep.model.agent import AgentFacts, AgentNic
from kvmkeep.model.domain_facts import Domain, DomainDisk, DomainNic, DomainState
from kvmkeep.model.facts import (
    FACTS_VERSION,
    Array,
    ArrayState,
    Facts,
    Problem,
    SeedFile,
    Tool,
    Volume,
    VolumeGroup,
)
from kvmkeep.model.names import STATE_FILLING, STATE_FRESH
from kvmkeep.model.network_facts import Link, Nm
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Step
from kvmkeep.model.run import ReadyAgent, Run
from kvmkeep.model.spec import (
    FirstBoot,
    Format,
    Guest,
    Host,
    Image,
    Login,
    LvDisk,
    Network,
    Nic,
    Packing,
    Place,
    Spec,
    Storage,
)
from kvmkeep.model.units import GuestName, Label, Mac, Size

GIB = 1 << 30
PLACE = Place(file="x.yaml", line=1, column=1)


def guest(name: str) -> Guest:
    return Guest(
        name=GuestName(name), identity=GuestName(name), uuid="u", hostname=name,
        description="", image=Label("debian"),
        vcpus=2, memory=Size(2 * GIB),
        disks=(LvDisk(name=Label("root"), lv=f"vm-{name}", size=Size(GIB)),),
        nics=(
            Nic(network=Label("public"), mac=Mac("52:54:00:00:00:01"), dhcp=False,
                addresses=(IPv4Interface("10.0.0.5/24"),), gateway=None, routes=(), dns=(),
                search=()),
        ),
        login=Login(user="admin", ssh_keys=(), password_hash="$6$secret", sudo=True),
        run=Run(autostart=True, needs=(), ready=ReadyAgent(), start_timeout=600),
        first_boot=FirstBoot.AUTO, user_data="", labels=("prod",), place=PLACE,
    )  # fmt: skip


SPEC = Spec(
    host=Host(name="build", memory_reserve=Size(4 * GIB), storage_reserve=Size(10 * GIB)),
    storage=Storage(vg="rl", lv_prefix="vm-"),
    uplink="ens1",
    networks=(
        Network(name=Label("public"), vlan=223, bridge="virbr1.223", vlan_interface="ens1.223",
                prefix=None, gateway=None, dns=(), search=(), ageing_time=0, stp=True,
                forward_delay=15, mtu=0, place=PLACE),
    ),
    images=(
        Image(name=Label("debian"), source="/srv/debian.raw", format=Format.RAW,
              packing=Packing.NONE, check=None, write_rate=0, place=PLACE),
    ),
    guests=(guest("alpha"), guest("beta"), guest("gamma")),
    template="",
    xml_dir="/root/kvm",
)  # fmt: skip
FACTS = Facts(
    version=FACTS_VERSION, time="2026-11-24T00:00:00Z", hostname="build", memory=Size(64 * GIB),
    cpus=8,
    arrays=(Array(name="md0", level="raid1", state=ArrayState.CLEAN, members=("sda", "sdb"),
                  detail=""),),
    groups=(VolumeGroup(name="rl", extent=Size(4 << 20), size=Size(900 * GIB),
                        free=Size(500 * GIB), pvs=("/dev/md0",), missing_pvs=0),),
    volumes=(Volume(vg="rl", name="vm-alpha", size=Size(GIB), tags=("kvmkeep",), active=True,
                    opened=True, device="253:1", attributes="-wi-ao----"),),
    links=(Link(name="virbr1.223", kind="bridge", mac="", up=True, carrier=True, mtu=1500,
                master="", parent="", vlan_id=-1, ageing_time=0, stp=True, forward_delay=15,
                addresses=()),),
    nm=Nm(running=True, profiles=(), device_paths=()),
    management=None,
    domains=(
        Domain(name="alpha", uuid="u", state=DomainState.RUNNING, persistent=True, autostart=True,
               ours=True, memory=Size(2 * GIB), vcpus=2,
               disks=(DomainDisk(target="vda", bus="virtio", kind="block",
                                 source="/dev/rl/vm-alpha", device="253:1", format="raw"),),
               nics=(DomainNic(mac="52:54:00:00:00:01", bridge="virbr1.223", model="virtio"),),
               agent=True, serial_log="/var/log/x", xml="<domain/>"),
        Domain(name="legacy", uuid="v", state=DomainState.SHUTOFF, persistent=True,
               autostart=False, ours=False, memory=Size(GIB), vcpus=1, disks=(), nics=(),
               agent=False, serial_log="", xml="<domain/>"),
    ),
    libvirt="9.0.0", emulator="/usr/bin/qemu", images=(), seeds=(), saved=(),
    tools=(Tool(name="curl", path="", package="curl"),), problems=(),
)  # fmt: skip


def step(subject: str) -> Step:
    return Step(noun=Noun.DOMAINS, subject=subject, what=f"do {subject}", why="", actions=())


def test_a_host_as_the_spec_says() -> None:
    status = stand(SPEC, FACTS, Plan())
    assert status.as_spec
    said = text(status)
    assert said.startswith("build: as the spec says\n")
    assert "kvmkeep plan" not in said
    assert "490 GiB for guests of 900 GiB (10 GiB reserved)" in said
    assert (
        "6 GiB promised to guests, 1 GiB of other domains, 4 GiB reserved, 64 GiB present" in said
    )


def test_the_worst_comes_first() -> None:
    plan = Plan(
        steps=(step("guest beta"), step("guest gamma"), step("something else")),
        refusals=(Refusal(subject="guest gamma", reason="it is not ours", hint="rename it"),),
        notes=(Note(subject="network public", text="it floods"),),
    )
    status = stand(SPEC, FACTS, plan)
    assert [(s.subject, s.level) for s in status.guests] == [
        ("guest gamma", Level.REFUSED),
        ("guest beta", Level.DIFFERS),
        ("guest alpha", Level.AS_SPEC),
    ]
    assert [s.subject for s in status.others] == ["something else"]
    assert not status.as_spec
    said = text(status, verbose=True)
    assert "REFUSED gamma: absent" in said
    assert "- it is not ours (rename it)" in said
    assert "it floods" in said
    assert said.endswith("See: kvmkeep plan")
    document = as_json(status)
    assert document["as_spec"] is False
    assert document["guests"][0]["refused"] is True  # type: ignore[index]


@pytest.mark.parametrize(
    ("what", "gone", "said"),
    [
        ("libvirt", {"domains": ()}, "unseen  alpha: not seen"),
        ("logical volumes", {"volumes": ()}, "unseen  alpha: running"),
        ("volume groups", {"groups": ()}, "unseen  group rl: is not seen"),
        ("network interfaces", {"links": ()}, "unseen  public: virbr1.223 is not seen"),
    ],
)
def test_what_is_not_seen_is_neither_missing_nor_well(
    what: str, gone: dict[str, Any], said: str
) -> None:
    hole = Problem(what=what, reason="it does not answer", hint="start it")
    status = stand(SPEC, replace(FACTS, problems=(hole,), **gone), Plan())
    assert not status.as_spec
    assert said in text(status)
    assert "is not there" not in text(status)


def test_show_does_not_take_what_is_not_seen_for_absent() -> None:
    hole = Problem(what="logical volumes", reason="lvs did not answer", hint="")
    shown = sections("alpha", SPEC, replace(FACTS, volumes=(), problems=(hole,)), None, NOW)
    assert dict(shown["Volumes"]) == {"rl/vm-alpha": "not seen"}
    assert dict(shown["Boot"]) == {"first boot": "not seen"}


NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, groups=()),
        replace(FACTS, groups=(replace(FACTS.groups[0], missing_pvs=1),)),
        replace(
            FACTS,
            arrays=(replace(FACTS.arrays[0], state=ArrayState.DEGRADED, detail="sdb is missing"),),
        ),
    ],
)
def test_trouble_of_the_host_is_never_as_the_spec_says(facts: Facts) -> None:
    assert not stand(SPEC, facts, Plan()).as_spec


def test_what_comes_about_at_the_next_start_is_told_beside_the_guest() -> None:
    text_of_it = "when it is shut down and started again, it has 4 CPUs (now 2 CPUs)"
    notes = (Note(subject="guest alpha", text=text_of_it, pending=True),
             Note(subject="guest alpha", text="something else"))  # fmt: skip
    status = stand(SPEC, FACTS, Plan(notes=notes))
    assert status.as_spec
    assert f"ok      alpha: running\n          - {text_of_it}\n" in text(status)
    assert "something else" not in text(status)
    assert as_json(status)["guests"][0]["pending"] == [text_of_it]  # type: ignore[index]


def test_a_missing_bridge_is_told() -> None:
    status = stand(SPEC, replace(FACTS, links=()), Plan())
    assert status.networks[0].now == "virbr1.223 is not there"


def test_facts_as_text() -> None:
    said = facts_text(FACTS, 100)
    for word in ("build", "md0", "rl/vm-alpha", "virbr1.223", "legacy", "curl"):
        assert word in said


@pytest.mark.parametrize(
    ("tags", "seeds", "said"),
    [
        (("kvmkeep",), (), "done"),
        (("kvmkeep", STATE_FRESH), (), "not finished yet"),
        (("kvmkeep", STATE_FILLING), (), "not yet: the image is not wholly written"),
        (("kvmkeep",), (SeedFile(guest="alpha", path="/x"),), "its seed still lies on the host"),
    ],
)
def test_show_tells_how_far_the_first_boot_is(
    tags: tuple[str, ...], seeds: tuple[SeedFile, ...], said: str
) -> None:
    facts = replace(FACTS, volumes=(replace(FACTS.volumes[0], tags=tags),), seeds=seeds)
    assert said in dict(sections("alpha", SPEC, facts, None, NOW)["Boot"])["first boot"]


def test_show_tells_everything_and_no_secret() -> None:
    nic = AgentNic(name="eth0", mac="", addresses=("10.0.0.5/24", "fe80::1/64"))
    signs = Signs(agent=AgentFacts(guest="alpha", nics=(nic,)))
    said = show_text("alpha", sections("alpha", SPEC, FACTS, signs, NOW))
    for word in ("10.0.0.5/24 fe80::1/64", "/dev/rl/vm-alpha", "running", "admin", "rl/vm-alpha"):
        assert word in said
    assert "$6$" not in said


def test_show_of_what_is_only_in_one_place() -> None:
    assert "Spec" not in sections("legacy", None, FACTS, None, NOW)
    only = sections("beta", SPEC, FACTS, None, NOW)
    assert "Domain" not in only
    assert dict(only["Boot"])["first boot"].startswith("not yet")


def test_a_table_fits_or_becomes_blocks() -> None:
    head, rows = ("A", "B"), [("one", "x" * 30), ("two", "-")]
    assert table(head, rows, 80).splitlines()[0] == "A    B"
    assert table(head, rows, 20) == f"one\n  b: {'x' * 30}\ntwo"
    assert table(head, [], 1) == "A  B"
