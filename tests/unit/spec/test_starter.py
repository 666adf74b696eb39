"""The spec that `init` begins with."""

from __future__ import annotations

from fakes.spec import load_text
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kvmkeep.model.backup_policy import BackupPolicy, Engine, Keep
from kvmkeep.model.facts import FACTS_VERSION, Facts, VolumeGroup
from kvmkeep.model.network_facts import Link, Management, Nm
from kvmkeep.model.spec import Spec
from kvmkeep.model.units import Size
from kvmkeep.spec.starter import starter

GIB = 1 << 30


def link(
    name: str, kind: str = "", *, master: str = "", parent: str = "", vlan: int = -1,
    carrier: bool = True,
) -> Link:  # fmt: skip
    return Link(
        name=name, kind=kind, mac="52:54:00:00:00:01", up=True, carrier=carrier, mtu=1500,
        master=master, parent=parent, vlan_id=vlan, ageing_time=-1, stp=False, forward_delay=-1,
        addresses=(),
    )  # fmt: skip


def group(name: str, size: int, free: int) -> VolumeGroup:
    return VolumeGroup(
        name=name, extent=Size(4 << 20), size=Size(size * GIB), free=Size(free * GIB), pvs=(),
        missing_pvs=0,
    )  # fmt: skip


BARE_HOST = Facts(
    version=FACTS_VERSION, time="2026-01-01T00:00:00Z", hostname="build.example.org",
    memory=Size(125 * GIB), cpus=32, arrays=(), groups=(group("rl_build", 890, 700),), volumes=(),
    links=(link("lo"), link("ens802f0"), link("ens802f1")),
    nm=Nm(running=True, profiles=(), device_paths=()),
    management=Management(interface="ens802f0", gateway="192.0.2.254", answers=True), domains=(),
    libvirt="", emulator="", images=(), seeds=(), saved=(), tools=(), problems=(),
)  # fmt: skip


def loaded(facts: Facts) -> Spec:
    files = starter(facts)
    spec = load_text(files)
    assert spec.guests == ()
    assert spec.repositories == ()
    renamed = {name.removesuffix(".sample"): text for name, text in files.items()}
    guest = load_text(renamed).guests[0]
    assert guest.image == "example"
    assert guest.run.autostart
    assert [nic.network for nic in guest.nics] == [net.name for net in spec.networks[:1]]
    return spec


def test_a_bare_host() -> None:
    spec = loaded(BARE_HOST)
    assert spec.host.name == "build.example.org"
    assert spec.storage.vg == "rl_build"
    assert spec.uplink == "ens802f1"
    assert spec.host.memory_reserve == Size(16 * GIB)
    assert spec.host.storage_reserve == Size(45 * GIB)
    assert spec.networks == ()
    text = starter(BARE_HOST)["host.yaml"]
    assert "This host has 125 GiB of memory." in text
    assert "Volume groups: rl_build (700 GiB free)." in text
    assert "Never ens802f0" in text
    assert "VLANs on the uplink: none found." in text


def test_backups_are_had_by_taking_comment_signs_away() -> None:
    files = {name.removesuffix(".sample"): text for name, text in starter(BARE_HOST).items()}
    before, sign, after = files["host.yaml"].partition("# repositories:\n")
    lines = (sign + after).splitlines()
    assert all(line.startswith("# ") for line in lines)
    with_backups = before + "".join(f"{line.removeprefix('# ')}\n" for line in lines)
    spec = load_text({**files, "host.yaml": with_backups})
    (repository,), (guest,) = spec.repositories, spec.guests
    assert (repository.name, repository.engine) == ("vault", Engine.RESTIC)
    assert f"> {repository.password_file})" in before
    assert f"kvmkeep backup init {repository.name}\n" in before
    assert guest.backup == BackupPolicy(
        repository=repository.name, schedule="*-*-* 01:30", prove="Sun 06:00", check=(),
        keep=Keep(last=3, daily=7, weekly=5, monthly=12),
    )  # fmt: skip


def test_a_host_that_somebody_built_by_hand() -> None:
    facts = replace(
        BARE_HOST,
        links=(
            *BARE_HOST.links,
            link("eno1"),
            link("ens802f1.223", "vlan", master="virbr1.223", parent="ens802f1", vlan=223),
            link("virbr1.223", "bridge"),
            link("campus", "vlan", parent="ens802f1", vlan=2368),
            link("again", "vlan", parent="ens802f1", vlan=2368),
            link("ens802f0.5", "vlan", parent="ens802f0", vlan=5),
            link("odd", "vlan", parent="ens802f1", vlan=4095),
            link("bad:name", "vlan", master="bond0", parent="ens802f1", vlan=7),
            link("bond0", "bond"),
        ),
    )
    found = {net.name: (net.vlan, net.bridge, net.vlan_interface) for net in loaded(facts).networks}
    assert found == {
        "vlan7": (7, "virbr1.7", "ens802f1.7"),
        "vlan223": (223, "virbr1.223", "ens802f1.223"),
        "vlan2368": (2368, "virbr1.2368", "again"),
    }


def test_the_likeliest_uplink_comes_first() -> None:
    links = (link("a", carrier=False), link("b"), link("c"), link("wan"))
    facts = replace(
        BARE_HOST, links=links, management=Management(interface="wan", gateway="", answers=False)
    )
    assert loaded(facts).uplink == "b"
    assert "Candidates: b, c, a." in starter(facts)["host.yaml"]
    with_vlan = replace(facts, links=(*links, link("c.1", "vlan", parent="c", vlan=1)))
    assert loaded(with_vlan).uplink == "c"


def test_a_bond_is_offered_and_not_its_ports() -> None:
    links = (
        link("eno1"), link("bond0", "bond"), link("ens1f0", master="bond0"),
        link("ens1f1", master="bond0"), link("virbr1.223", "bridge"),
        link("bond0.223", "vlan", parent="bond0", vlan=223, master="virbr1.223"),
    )  # fmt: skip
    management = Management(interface="eno1", gateway="192.0.2.254", answers=True)
    facts = replace(BARE_HOST, links=links, management=management)
    spec = loaded(facts)
    assert spec.uplink == "bond0"
    assert [one.vlan_interface for one in spec.networks] == ["bond0.223"]
    assert "Candidates: bond0." in starter(facts)["host.yaml"]


def test_nothing_below_the_management_interface_is_an_uplink() -> None:
    facts = replace(
        BARE_HOST,
        links=(
            link("br0", "bridge"),
            link("bond0.7", "vlan", master="br0", parent="bond0", vlan=7),
            link("bond0", "bond"),
            link("eth0", master="bond0"),
            link("eth1", master="bond0"),
            link("eth2"),
        ),
        management=Management(interface="br0", gateway="192.0.2.254", answers=True),
    )
    assert loaded(facts).uplink == "eth2"


def test_no_interface_that_somebody_is_logged_in_over_is_an_uplink() -> None:
    way = Management(
        interface="ens802f1", gateway="192.0.2.254", answers=True, others=("ens802f0",)
    )
    facts = replace(BARE_HOST, management=way)
    text = starter(facts)["host.yaml"]
    assert "uplink: change-me\n" in text
    assert "Never ens802f1, ens802f0: over it the host is" in text
    more = replace(facts, links=(*facts.links, link("six"), link("eth9")))
    assert loaded(replace(more, management=replace(way, interface6="six"))).uplink == "eth9"


def test_an_interface_that_is_reached_in_two_ways() -> None:
    facts = replace(
        BARE_HOST,
        links=(
            link("br0", "bridge"),
            link("eth0", master="br0"),
            link("eth0.7", "vlan", master="br0", parent="eth0", vlan=7),
            link("eth1"),
        ),
        management=Management(interface="br0", gateway="192.0.2.254", answers=True),
    )
    assert loaded(facts).uplink == "eth1"


def test_a_host_that_has_nothing() -> None:
    facts = replace(
        BARE_HOST, hostname="(none)", memory=Size(GIB), groups=(), links=(), management=None
    )
    spec = loaded(facts)
    assert (spec.host.name, spec.storage.vg, spec.uplink) == ("change-me", "change-me", "change-me")
    assert spec.host.memory_reserve == Size(2 * GIB)
    assert spec.host.storage_reserve == Size(10 * GIB)
    text = starter(facts)["host.yaml"]
    assert "Volume groups: none found." in text
    assert "Candidates: none found." in text


def test_the_group_with_the_most_space_is_proposed() -> None:
    facts = replace(BARE_HOST, groups=(group("a", 100, 5), group("b", 100, 50), group("-", 9, 90)))
    assert loaded(facts).storage.vg == "b"


def test_names_that_yaml_takes_for_numbers_are_quoted() -> None:
    facts = replace(
        BARE_HOST, hostname="1e3", groups=(group("007", 100, 5),),
        links=(link("12"), link("1.0", "vlan", parent="12", vlan=9)),
    )  # fmt: skip
    spec = loaded(facts)
    assert (spec.host.name, spec.storage.vg, spec.uplink) == ("1e3", "007", "12")
    assert spec.networks[0].vlan_interface == "1.0"


FOREIGN = st.text(max_size=12)
LINKS = st.builds(
    link, FOREIGN, st.sampled_from(["", "vlan", "bridge"]), master=FOREIGN, parent=FOREIGN,
    vlan=st.integers(-1, 5000), carrier=st.booleans(),
)  # fmt: skip


@given(
    FOREIGN, st.lists(LINKS, max_size=4), st.lists(FOREIGN, max_size=3),
    st.integers(0, 1 << 45), FOREIGN,
)  # fmt: skip
def test_any_host_gives_a_spec_that_loads(
    hostname: str, links: list[Link], groups: list[str], memory: int, management: str
) -> None:
    loaded(
        replace(
            BARE_HOST,
            hostname=hostname,
            links=tuple(links),
            groups=tuple(group(name, 100, 5) for name in groups),
            memory=Size(memory),
            management=Management(interface=management, gateway="", answers=False),
        )
    )
