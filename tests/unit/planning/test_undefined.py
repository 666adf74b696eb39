"""What others took away of a guest: its definition while it runs, marks, and LVs by another name."""

from __future__ import annotations

import copy
from xml.etree import ElementTree as ET

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.spec import Spec
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import reach

KEPT = "/root/kvm/web.xml"


def running(**changes: object) -> tuple[FakeHost, Spec]:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(guest(data=GIB, **changes))
    reach(host, wanted)
    return host, wanted


def undefine(host: FakeHost) -> None:
    """Do what `virsh undefine` does to a guest that runs."""
    web = host.libvirt.domains["web"]
    assert web.live is not None
    web.xml, web.transient, web.autostart = copy.deepcopy(web.live), True, False


def off_and_undefined(host: FakeHost) -> None:
    host.libvirt.domains.pop("web").end()


def refused(host: FakeHost, wanted: Spec) -> tuple[str, str]:
    (refusal,) = make_plan(wanted, host.facts(wanted)).refusals
    assert refusal.subject == "guest web"
    return refusal.reason, refusal.hint


def test_a_guest_that_runs_without_a_definition_gets_the_kept_one_back() -> None:
    host, wanted = running()
    web = host.libvirt.domains["web"]
    ET.SubElement(web.xml.find("devices"), "hostdev")
    reach(host, wanted)
    undefine(host)
    web.xml.find("vcpu").text = "1"
    first, *rest = make_plan(wanted, host.facts(wanted)).steps
    assert first.what == f"define guest web from {KEPT}"
    assert [(step.what, bool(step.assumes)) for step in rest] == [
        ("have it as the spec says", True)
    ]
    reach(host, wanted)
    assert not web.transient
    assert web.autostart
    assert web.xml.find("devices/hostdev") is not None
    assert web.live is not None


def test_a_kept_one_that_names_an_lv_by_its_other_name_is_whole() -> None:
    host, wanted = running()
    web = host.libvirt.domains["web"]
    for tree in (web.xml, web.live):
        source = tree.find("devices/disk/source[@dev='/dev/rl_build/vm-web']")
        source.set("dev", "/dev/mapper/rl_build-vm--web")
    ET.SubElement(web.xml.find("devices"), "hostdev")
    reach(host, wanted)
    off_and_undefined(host)
    assert make_plan(wanted, host.facts(wanted)).steps[0].what == f"define guest web from {KEPT}"
    reach(host, wanted)
    assert host.libvirt.domains["web"].xml.find("devices/hostdev") is not None


def test_a_kept_one_that_is_of_no_use_is_set_aside() -> None:
    host, wanted = running()
    off_and_undefined(host)
    host.put(KEPT, b"<domain><by-hand/></domain>")
    first, *_ = make_plan(wanted, host.facts(wanted)).steps
    assert first.what == "define guest web"
    reach(host, wanted)
    assert host.files["/root/kvm/web.by-hand.xml"].content == b"<domain><by-hand/></domain>"
    assert b"<name>web</name>" in host.files[KEPT].content
    off_and_undefined(host)
    host.put(KEPT, b"<domain><once-more/></domain>")
    reach(host, wanted)
    kept = {one.content for path, one in host.files.items() if "/web.by-hand.xml" in path}
    assert kept == {b"<domain><by-hand/></domain>", b"<domain><once-more/></domain>"}


def test_without_the_kept_one_it_is_defined_as_it_runs() -> None:
    host, wanted = running()
    undefine(host)
    del host.files[KEPT]
    first, *_ = make_plan(wanted, host.facts(wanted)).steps
    assert first.what == "define it as it runs"
    reach(host, wanted)
    assert not host.libvirt.domains["web"].transient
    assert KEPT in host.files


def test_a_data_disk_that_was_removed_with_the_definition_is_not_made_anew() -> None:
    host, wanted = running()
    off_and_undefined(host)
    del host.lvm.volumes["vm-web-data"]
    reason, hint = refused(host, wanted)
    assert reason.startswith("the guest had it when it was defined last")
    assert hint.endswith(f"move {KEPT} away first")
    del host.files[KEPT]
    reach(host, wanted)
    assert "vm-web-data" in host.lvm.volumes


def test_a_data_disk_that_is_new_in_the_spec_is_made_also_where_the_definition_is_lost() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, spec(guest()))
    off_and_undefined(host)
    reach(host, spec(guest(data=GIB)))
    assert "vm-web-data" in host.lvm.volumes


@pytest.mark.parametrize("name", ["vm-web", "vm-web-data"])
def test_an_lv_that_was_renamed_is_named_and_taken_back(name: str) -> None:
    host, wanted = running()
    host.libvirt.domains["web"].end()
    volume = host.lvm.volumes.pop(name)
    volume.name = "elsewhere"
    host.lvm.volumes["elsewhere"] = volume
    reason, hint = refused(host, wanted)
    assert reason.endswith("is gone; elsewhere wears its marks")
    assert hint.endswith(f"lvrename rl_build elsewhere {name}")


def test_an_lv_without_its_tags_is_told_how_to_get_them_back() -> None:
    host, wanted = running()
    volume = host.lvm.volumes["vm-web-data"]
    before = set(volume.tags)
    volume.tags.clear()
    _, hint = refused(host, wanted)
    words = hint.partition("lvchange ")[2].split()
    assert {words[at + 1] for at, word in enumerate(words) if word == "--addtag"} == before
    assert words[-1] == "rl_build/vm-web-data"


@pytest.mark.parametrize("runs", [True, False])
def test_a_domain_without_its_mark_is_told_how_to_get_it_back(runs: bool) -> None:  # noqa: FBT001 - pytest's
    host, wanted = running()
    web = host.libvirt.domains["web"]
    if not runs:
        web.end()
    trees = [one for one in (web.xml, web.live) if one is not None]
    for tree in trees:
        tree.remove(tree.find("metadata"))
    _, hint = refused(host, wanted)
    assert "--uri urn:kvmkeep:guest:1 --key kvmkeep --set '<guest/>' --config" in hint
    assert hint.endswith("--live") is runs
    for tree in trees:
        metadata = ET.SubElement(tree, "metadata")
        ET.SubElement(metadata, "{urn:kvmkeep:guest:1}guest")
    reach(host, wanted)


def test_a_domain_of_that_name_with_another_uuid_is_not_the_guest() -> None:
    host, wanted = running()
    off_and_undefined(host)
    other = replace(wanted.guests[0], uuid="00000000-0000-4000-8000-000000000001")
    reach(host, spec(other))
    tree = host.libvirt.domains["web"].xml
    tree.remove(tree.find("metadata"))
    (hint,) = (
        one.hint for one in make_plan(wanted, host.facts(wanted)).refusals if "name" in one.reason
    )
    assert hint.endswith("choose another name for the guest")
