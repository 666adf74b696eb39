from __future__ import annotations

from ipaddress import ip_address, ip_interface
from xml.etree import ElementTree as ET

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from fakes.virsh import xml_text
from msgspec.structs import replace

from kvmkeep.model.command import Poll, WriteFile
from kvmkeep.model.names import STATE_FRESH, console_log, seed_path
from kvmkeep.model.plan import Plan
from kvmkeep.model.run import ReadyTcp
from kvmkeep.model.spec import FirstBoot, Nic, Spec
from kvmkeep.model.units import GuestName, Size
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.waiting import first_boot_done, ready
from tests.unit.planning.build import GIB, IMAGE, guest, nic, spec
from tests.unit.planning.rounds import StepError, reach

TINY = replace(CLOUD, cloud_init=False)


def running(contents: object = CLOUD, **changes: object) -> tuple[FakeHost, Spec]:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, contents))
    wanted = spec(guest(**changes))
    reach(host, wanted)
    host.calls.clear()
    return host, wanted


def waiting(contents: object = CLOUD, **changes: object) -> tuple[FakeHost, Spec]:
    """A guest in its first boot, which has not answered yet."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, contents))
    wanted = spec(guest(**changes))
    host.libvirt.silent_agents.add("web")
    with pytest.raises(StepError):
        reach(host, wanted)
    host.libvirt.silent_agents.clear()
    return host, wanted


def plan(host: FakeHost, wanted: Spec) -> Plan:
    return make_plan(wanted, host.facts(wanted))


def changed(wanted: Spec, **changes: object) -> Spec:
    return spec(replace(wanted.guests[0], **changes))


def programs(plan: Plan) -> list[str]:
    return [" ".join(str(a).split()[:3]) for s in plan.steps for a in s.actions]


def test_autostart_is_switched_on_and_off() -> None:
    host, wanted = running()
    host.libvirt.domains["web"].autostart = False
    reach(host, wanted)
    assert host.libvirt.domains["web"].autostart
    run = replace(wanted.guests[0].run, autostart=False)
    reach(host, changed(wanted, run=run))
    assert not host.libvirt.domains["web"].autostart


def kept(host: FakeHost) -> bytes:
    return host.files["/root/kvm/web.xml"].content


def test_what_is_kept_of_a_guest_in_service_is_what_libvirt_has() -> None:
    host, wanted = running()
    domain = host.libvirt.domains["web"]
    assert kept(host) == f"{xml_text(domain.xml)}\n".encode()
    ET.SubElement(domain.xml.find("devices"), "hostdev")
    (step,) = plan(host, wanted).steps
    assert step.why == "libvirt has something else"
    assert programs(plan(host, wanted)) == ["virsh dumpxml --inactive"]
    reach(host, wanted)
    assert b"<hostdev />" in kept(host)
    host.put("/root/kvm/web.xml", xml_text(domain.xml).encode())
    assert plan(host, wanted).empty, "virsh --quiet prints one newline less"


def test_what_is_kept_comes_back_where_it_was_lost() -> None:
    host, wanted = running()
    before = kept(host)
    del host.files["/root/kvm/web.xml"]
    assert programs(plan(host, wanted)) == ["virsh dumpxml --inactive"]
    reach(host, wanted)
    assert kept(host) == before


def test_a_lost_domain_comes_back_with_what_somebody_else_put_into_it() -> None:
    host, wanted = running()
    ET.SubElement(host.libvirt.domains["web"].xml.find("devices"), "hostdev")
    reach(host, wanted)
    del host.libvirt.domains["web"]
    more = changed(wanted, memory=Size(3 * GIB))
    assert programs(plan(host, more))[0] == "virsh define --"
    reach(host, more)
    xml = host.libvirt.domains["web"].xml
    assert xml.find("devices/hostdev") is not None
    assert xml.findtext("memory") == str(3 << 20)
    assert kept(host) == f"{xml_text(xml)}\n".encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"</devices>", b""),
        (b"urn:kvmkeep:guest:1", b"urn:other"),
        (b"<name>web<", b"<name>shop<"),
        (b"vm-web", b"vm-other"),
        (b'type="raw"', b'type="qcow2"'),
        (b"<readonly />", b"<readonly /><source file='/var/lib/kvmkeep/seed/web.iso' />"),
        (b"<domain", b"<!DOCTYPE a><domain"),
        (b'<memory unit="KiB"', b'<memory unit="MiB"'),
        (b"web", b"\xff"),
    ],
)
def test_what_is_kept_is_not_used_where_it_is_not_whole(before: bytes, after: bytes) -> None:
    host, wanted = running()
    assert before in kept(host)
    host.put("/root/kvm/web.xml", kept(host).replace(before, after))
    del host.libvirt.domains["web"]
    damaged = kept(host)
    aside, _, define, *_ = programs(plan(host, wanted))
    assert (aside.partition(" ")[0], define) == ("mv", "virsh define --validate")
    reach(host, wanted)
    assert plan(host, wanted).empty
    assert host.files["/root/kvm/web.by-hand.xml"].content == damaged


def test_what_is_kept_of_a_guest_that_is_no_more_is_not_used() -> None:
    host, wanted = running()
    del host.libvirt.domains["web"], host.lvm.volumes["vm-web"]
    assert "virsh define --validate" in programs(plan(host, wanted))
    reach(host, wanted)


def test_xml_that_changed_before_the_first_boot_is_defined_anew() -> None:
    host, wanted = waiting()
    host.libvirt.domains["web"].live = None
    more = changed(wanted, memory=Size(3 * GIB))
    reach(host, more)
    assert host.libvirt.domains["web"].xml.findtext("memory") == str(3 << 20)
    assert make_plan(more, host.facts(more)).empty


def test_xml_that_changed_during_the_first_boot_is_only_kept() -> None:
    host, wanted = waiting()
    more = changed(wanted, memory=Size(3 * GIB))
    assert "virsh define --validate" not in programs(plan(host, more))


def test_first_boot_under_way_is_waited_for_and_finished() -> None:
    host, wanted = waiting()
    assert STATE_FRESH in host.lvm.volumes["vm-web"].tags
    assert seed_path(GuestName("web")) in host.files
    assert programs(plan(host, wanted))[0].startswith("Poll(command=Command(argv=('grep'")
    reach(host, wanted)
    assert seed_path(GuestName("web")) not in host.files
    assert len([c for c in host.calls if c.argv[:2] == ("virsh", "start")]) == 1


def test_image_looked_into_says_whether_a_running_guest_tells_of_its_first_boot() -> None:
    host, wanted = waiting(TINY, first_boot=FirstBoot.CONFIG_DRIVE)
    assert not any("grep" in text for text in programs(plan(host, wanted)))
    facts = host.facts(wanted)
    for images in ((), (replace(facts.images[0], contents=None),)):
        found = make_plan(wanted, replace(facts, images=images))
        assert any("grep" in text for text in programs(found))


def test_seed_taken_out_already_is_not_waited_for() -> None:
    host, wanted = waiting()
    domain = host.libvirt.domains["web"]
    for tree in (domain.xml, domain.live):
        drive = next(d for d in tree.iter("disk") if "cdrom" in d.attrib.values())
        drive.remove(drive.find("source"))
    found = plan(host, wanted)
    assert not any("grep" in text or "--eject" in text for text in programs(found))
    reach(host, wanted)


def test_guest_without_seed_under_way() -> None:
    host, wanted = waiting(TINY, first_boot=FirstBoot.NONE)
    reach(host, wanted)
    assert not any("/seed" in " ".join(c.argv) for c in host.calls)


@pytest.mark.parametrize("state", ["running", "off", "ejected", "undefined"])
def test_seed_left_over_is_deleted(state: str) -> None:
    host, wanted = running()
    path = seed_path(GuestName("web"))
    host.put(path, b"{}")
    domain = host.libvirt.domains["web"]
    if state != "ejected":
        done = host.libvirt.virsh(("change-media", "--domain", "web", "--path", "sda", "--source",
                                   path, "--update", "--config", "--live", "--force"))  # fmt: skip
        assert done == (0, "")
    if state == "off":
        domain.live = None
    if state == "undefined":
        del host.libvirt.domains["web"]
    reach(host, wanted)
    assert path not in host.files


def test_words_of_an_earlier_guest_of_that_name_do_not_count() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, replace(CLOUD, datasources=("NoCloud",))))
    wanted = spec(guest())
    old = f"kvmkeep: first boot done {wanted.guests[0].uuid}\n".encode()
    host.put(console_log("web"), old)
    host.put(f"{console_log('web')}.0", old)
    reach(host, wanted)
    assert host.files[console_log("web")].content.count(b"done") == 1
    assert host.files[f"{console_log('web')}.0"].content == b""


def test_seed_is_never_readable_for_others() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(guest())
    host.libvirt.silent_agents.add("web")
    with pytest.raises(StepError):
        reach(host, wanted)
    assert host.files[seed_path(GuestName("web"))].mode == 0o600
    assert host.directories["/var/lib/kvmkeep/seed"] == 0o711
    names = [path for path in host.files if "/seed/" in path]
    assert names == [seed_path(GuestName("web"))]


@pytest.mark.parametrize(
    ("nics", "what"),
    [
        ((nic("web", search=("example.org",)),), "search domains"),
        (
            (nic("web"), nic("web", 1, dhcp=True, addresses=(), gateway=None)),
            "DHCP without its default route",
        ),
    ],
)
def test_what_a_config_drive_can_not_give_is_told(nics: tuple[Nic, ...], what: str) -> None:
    host = FakeHost()
    only = replace(CLOUD, datasources=("ConfigDrive",))
    host.add_image(IMAGE.source, FakeImage("raw", GIB, only))
    wanted = spec(guest(nics=nics))
    host.run(plan(host, wanted).steps[0].actions[1])
    text = f"its seed is a config drive, which has no place for {what}"
    assert text in notes(host, wanted)
    assert text not in notes(host, spec(guest(nics=nics, first_boot=FirstBoot.NOCLOUD)))
    both = FakeHost()
    both.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    assert text in notes(both, spec(guest(nics=nics, first_boot=FirstBoot.CONFIG_DRIVE)))


def test_networks_that_take_a_route_of_dhcp_they_should_not_are_told_of() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    text = (
        "only netplan and systemd-networkd leave DHCP's default route out: with another "
        "network program, it has two"
    )
    lab = nic("web", 1, dhcp=True, addresses=(), gateway=None)
    assert text in notes(host, spec(guest(nics=(nic("web"), lab))))
    assert text not in notes(host, spec(guest(nics=(nic("web", search=("example.org",)),))))


@pytest.mark.parametrize(
    ("on_volume", "size", "told"), [(True, GIB, 1), (True, 4 * GIB, 0), (False, GIB, 0)]
)
def test_a_root_filesystem_that_first_boot_does_not_grow_is_told_of(
    size: int, told: int, *, on_volume: bool
) -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", size, replace(CLOUD, on_volume=on_volume)))
    wanted = spec(guest())
    host.run(plan(host, wanted).steps[0].actions[1])
    found = [text for text in notes(host, wanted) if "lies on LVM inside the image" in text]
    assert len(found) == told
    assert all("of 4 GiB, 1 GiB are used" in text and "pvresize" in text for text in found)


def test_an_ipv6_address_without_a_router_is_told_of() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    both = (ip_interface("10.223.0.20/24"), ip_interface("2001:db8::20/64"))
    text = "its address 2001:db8::20/64 has no default route: name its router, too (`gateway`)"
    assert text in notes(host, spec(guest(nics=(nic("web", addresses=both),))))
    named = nic("web", addresses=both, second_gateway=ip_address("fe80::1"))
    assert text not in notes(host, spec(guest(nics=(named,))))


def notes(host: FakeHost, wanted: Spec) -> list[str]:
    return [note.text for note in plan(host, wanted).notes]


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        ({"dns": ()}, 1),
        ({"gateway": None}, 1),
        ({}, 0),
        ({"dhcp": True, "dns": (), "gateway": None}, 0),
    ],
)
def test_an_agent_that_nothing_can_fetch_is_told(ways: dict[str, object], told: int) -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, replace(CLOUD, agent=False)))
    wanted = spec(guest(nics=(nic("web", **ways),)))
    host.run(plan(host, wanted).steps[0].actions[1])
    found = [one.text for one in plan(host, wanted).notes if "console:login:" in one.text]
    assert len(found) == told
    by_port = changed(wanted, run=replace(wanted.guests[0].run, ready=ReadyTcp(port=22)))
    assert not [one for one in plan(host, by_port).notes if "console:login:" in one.text]


def test_an_agent_that_stays_silent_may_not_be_there() -> None:
    poll, *_ = ready(guest())
    assert isinstance(poll, Poll)
    assert '`ready: "console:login:"`' in poll.otherwise
    assert "console:login:" not in first_boot_done(guest()).otherwise


def test_secrets_are_marked_and_in_no_command() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    found = plan(host, spec(guest()))
    files = [a for s in found.steps for a in s.actions if isinstance(a, WriteFile)]
    assert [f.secret for f in files if b"canary" in f.content] == [True]
    assert all(f.mode == 0o600 for f in files)
