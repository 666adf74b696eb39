"""What `apply` does about guests and networks that were taken over: as little as it can."""

from __future__ import annotations

import copy
import dataclasses
from xml.etree import ElementTree as ET

from fakes.host import FakeHost
from fakes.nm import FakeLink, FakeProfile
from fakes.virsh import FakeDomain

from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import FirstBoot, Guest, Spec
from kvmkeep.model.units import Label, Mac
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, guest, network, nic, spec
from tests.unit.planning.rounds import reach

UUID = "2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01"
MAC = "52:54:00:00:00:0a"
XML = f"""\
<domain type='kvm'><name>old</name><uuid>{UUID}</uuid>
<metadata><x:i xmlns:x='urn:x'>7</x:i><k:guest xmlns:k='urn:kvmkeep:guest:1'/></metadata>
<memory>2097152</memory><currentMemory>2097152</currentMemory><vcpu>2</vcpu>
<cpu mode='host-model'/><devices>
<disk device='disk'><driver name='qemu' type='raw'/><source dev='/dev/rl_build/vm-old'/>
<target dev='vda' bus='virtio'/></disk>
<interface><mac address='{MAC}'/><source bridge='virbr1.223'/><model type='virtio'/></interface>
</devices></domain>"""
OLD: Guest = guest(
    "old", uuid=UUID, adopted=True, image=Label(""), first_boot=FirstBoot.NONE,
    nics=(nic("old", mac=Mac(MAC), addresses=(), gateway=None),),
)  # fmt: skip


def site() -> FakeHost:
    """Return a host whose guest and network were taken over."""
    host = FakeHost()
    tree = ET.fromstring(XML)  # noqa: S314 - our own
    host.libvirt.domains["old"] = FakeDomain(tree, live=copy.deepcopy(tree), autostart=True)
    host.lvm.add("vm-old", 4 * GIB, "kvmkeep", "kvmkeep.guest=old", "kvmkeep.disk=root")
    host.nm.links["virbr1.223"] = FakeLink(
        "virbr1.223", "bridge", ageing_time=0, stp=True, forward_delay=15
    )
    host.nm.links["uplink0.223"] = FakeLink(
        "uplink0.223", "vlan", master="virbr1.223", parent="uplink0", vlan_id=223
    )
    mark = {"connection.stable-id": "kvmkeep"}
    host.nm.profiles["aaaa"] = FakeProfile(
        "aaaa", "Bridge for guests", "bridge", "virbr1.223",
        {**mark, "bridge.ageing-time": "0", "bridge.stp": "yes", "bridge.forward-delay": "15",
         "connection.autoconnect-slaves": "-1 (default)", "ipv4.method": "disabled"}, "virbr1.223",
    )  # fmt: skip
    host.nm.profiles["cccc"] = FakeProfile("cccc", "uplink", "ethernet", "uplink0", {}, "uplink0")
    host.nm.profiles["bbbb"] = FakeProfile(
        "bbbb", "port", "vlan", "uplink0.223",
        {**mark, "connection.master": "aaaa", "connection.slave-type": "bridge",
         "vlan.parent": "cccc", "vlan.id": "223"}, "uplink0.223",
    )  # fmt: skip
    return host


def planned(host: FakeHost, wanted: Spec | None = None) -> Plan:
    wanted = wanted or spec(OLD)
    return make_plan(wanted, host.facts(wanted))


def told(plan: Plan) -> list[tuple[str, str]]:
    return [(refusal.reason, refusal.hint) for refusal in plan.refusals]


def test_its_definition_is_libvirts_own() -> None:
    host = site()
    steps = reach(host, spec(OLD))
    assert [step.what for step in steps] == ["keep its definition in /root/kvm/old.xml"]
    assert b"urn:x" in host.files["/root/kvm/old.xml"].content
    assert b"host-model" in host.files["/root/kvm/old.xml"].content


def test_a_profile_is_known_by_its_mark_and_keeps_its_uuid() -> None:
    host = site()
    reach(host, spec(OLD))
    wanted = spec(OLD, networks=(network(ageing_time=300),))
    (step,) = planned(host, wanted).steps
    assert step.what == "change bridge.ageing-time of virbr1.223 from 0 to 300"
    reach(host, wanted)
    assert host.nm.links["virbr1.223"].ageing_time == 300
    assert host.nm.profiles.keys() == {"aaaa", "bbbb", "cccc"}
    assert host.nm.profiles["aaaa"].settings["connection.autoconnect-slaves"] == "-1 (default)"


def test_two_profiles_with_our_mark_are_one_too_many() -> None:
    host = site()
    host.nm.profiles["dddd"] = dataclasses.replace(host.nm.profiles["aaaa"], uuid="dddd", device="")
    found = [reason for reason, _ in told(planned(host))]
    assert "the NetworkManager profile Bridge for guests (aaaa) uses virbr1.223, so it" in found[0]
    assert len(found) == 2


def test_without_its_domain_it_is_not_made_anew() -> None:
    host = site()
    del host.libvirt.domains["old"]
    plan = planned(host)
    assert told(plan) == [
        ("libvirt does not know it any more, and it can't be made anew: it was taken over",
         "define it again (virsh define /root/kvm/old.xml), or let it go (kvmkeep release old)")
    ]  # fmt: skip
    del host.lvm.volumes["vm-old"]
    plan = planned(host)
    assert ("the guest was taken over, but its LV rl_build/vm-old is gone",
            "bring the LV back (vgcfgrestore, or a backup)") in told(plan)  # fmt: skip
    assert not [step for step in plan.steps if step.subject == "guest old"]


def test_without_its_domain_it_is_defined_again_from_what_was_kept() -> None:
    host = site()
    reach(host, spec(OLD))
    before = host.files["/root/kvm/old.xml"].content
    del host.libvirt.domains["old"]
    reach(host, spec(OLD))
    assert host.files["/root/kvm/old.xml"].content == before
    assert host.libvirt.domains["old"].autostart


def test_without_its_marks_it_is_to_be_taken_over() -> None:
    host = site()
    metadata = host.libvirt.domains["old"].xml.find("metadata")
    metadata.remove(metadata[1])
    host.lvm.volumes["vm-old"].tags = set()
    hints = [hint for _, hint in told(planned(host))]
    assert hints == ["take it over: kvmkeep adopt old"] * 2
