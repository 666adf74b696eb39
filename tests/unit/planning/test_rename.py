from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from fakes.virsh import xml_text
from msgspec.structs import replace

from kvmkeep.model.command import WriteFile
from kvmkeep.model.domain_facts import DomainState
from kvmkeep.model.facts import Facts, Problem
from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import FileDisk, Guest, Place, Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.observe.firmware import firmware_variables
from kvmkeep.planning.domains.new_name import Renaming
from kvmkeep.planning.domains.rename import plan_rename
from kvmkeep.planning.domains.xml import BASE
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create
from tests.unit.planning.build import GIB, IMAGE, guest, nic, spec
from tests.unit.planning.rounds import carry_out, reach

FILE = "/etc/kvmkeep/guests/web.yaml"
WEB = guest(data=GIB)


def renaming(new: str = "shop", **changes: object) -> Renaming:
    made = Renaming(old=GuestName("web"), new=GuestName(new), file=FILE, takes_identity=True)
    return replace(made, **changes)


def site(*others: Guest) -> tuple[FakeHost, Spec]:
    """Return a host whose guest web is off."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(WEB, *others)
    reach(host, wanted)
    host.libvirt.domains["web"].live = None
    host.put(FILE, b"image: debian\nidentity: older\n")
    return host, wanted


def refusals(plan: Plan) -> list[str]:
    return [refusal.reason for refusal in plan.refusals]


def planned(host: FakeHost, wanted: Spec, names: Renaming, **changes: object) -> Plan:
    return plan_rename(wanted, replace(host.facts(wanted), **changes), names)


def test_all_that_bears_the_name_is_renamed_and_the_machine_stays_the_same() -> None:
    host, wanted = site()
    snapshot = host.lvm.add("vm-web-data-20260102T1200Z", GIB, "kvmkeep", "kvmkeep.guest=web")
    snapshot.origin = "vm-web-data"
    foreign = host.lvm.add("vm-web-old", GIB, "other")
    before = host.libvirt.domains["web"]
    uuid, mac = before.uuid, before.xml.find("devices/interface/mac").get("address")
    for step in planned(host, wanted, renaming()).steps:
        carry_out(host, step)
    after = host.libvirt.domains["shop"]
    assert (after.uuid, after.xml.find("devices/interface/mac").get("address")) == (uuid, mac)
    sources = [s.get("dev") for s in after.xml.findall("devices/disk/source") if s.get("dev")]
    assert sources == ["/dev/rl_build/vm-shop", "/dev/rl_build/vm-shop-data"]
    assert after.xml.find("devices/serial/log").get("file").endswith("/shop-console.log")
    ours = {v.name: v for v in host.lvm.volumes.values() if "kvmkeep.guest=shop" in v.tags}
    assert ours.keys() == {"vm-shop", "vm-shop-data", "vm-shop-data-20260102T1200Z"}
    assert ours["vm-shop-data-20260102T1200Z"].origin == "vm-shop-data"
    assert (foreign.name, foreign.tags) == ("vm-web-old", {"other"})
    assert host.files["/etc/kvmkeep/guests/shop.yaml"].content == b"image: debian\nidentity: web\n"
    assert FILE not in host.files
    assert "/root/kvm/web.xml" not in host.files
    assert b"<name>shop</name>" in host.files["/root/kvm/shop.xml"].content


def test_the_file_is_on_the_disk_before_it_is_renamed() -> None:
    host, wanted = site()
    *_, last = planned(host, wanted, renaming()).steps
    ran = [str(action) for action in last.actions]
    at = ran.index(f"sync -- {FILE}")
    assert [line.partition(" ")[0] for line in ran[at - 1 :]] == ["sed", "sync", "mv"]


def test_elements_that_nobody_here_knows_stay_to_the_byte() -> None:
    host, wanted = site()
    extra = "<x:info xmlns:x='urn:x' of='/dev/rl_build/vm-web'><!-- web --></x:info>"
    (domain,) = host.facts(wanted).domains
    xml = domain.xml.replace("</devices>", f"</devices>{extra}")
    plan = planned(host, wanted, renaming(), domains=(replace(domain, xml=xml),))
    files = [a for step in plan.steps for a in step.actions if isinstance(a, WriteFile)]
    assert extra.encode() in files[0].content


def test_an_lv_with_a_name_of_its_own_keeps_it() -> None:
    host, _ = site()
    named = replace(WEB, disks=(WEB.disks[0], replace(WEB.disks[1], lv="archive")))
    host.lvm.volumes["archive"] = host.lvm.volumes.pop("vm-web-data")
    host.lvm.volumes["archive"].name = "archive"
    plan = planned(host, spec(named), renaming())
    for step in plan.steps:
        carry_out(host, step)
    assert "kvmkeep.guest=shop" in host.lvm.volumes["archive"].tags
    assert "archive" in {*host.lvm.volumes}
    assert plan.refusals == ()


def test_disks_that_the_spec_names_itself_keep_their_names() -> None:
    host, _ = site()
    root, data = WEB.volumes
    old = replace(data, name=Label("old"), lv="vm-web-old", named=True)
    file = FileDisk(name=Label("far"), path="/data/web.img", mount="/data", size=Size(GIB))
    marks = ("kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=old")
    host.lvm.add("vm-web-old", GIB, *marks)
    host.lvm.add("vm-web-old-20260102T1200Z", GIB, *marks).origin = "vm-web-old"
    wanted = spec(replace(WEB, disks=(root, data, old, file)))
    for step in planned(host, wanted, renaming()).steps:
        carry_out(host, step)
    assert {v.name for v in host.lvm.volumes.values() if "kvmkeep.guest=shop" in v.tags} == {
        "vm-shop", "vm-shop-data", "vm-web-old", "vm-web-old-20260102T1200Z",
    }  # fmt: skip
    kept = host.files["/root/kvm/shop.xml"].content.decode()
    assert kept == f"{xml_text(host.libvirt.domains['shop'].xml)}\n"


def test_when_the_spec_has_the_new_name_all_is_done() -> None:
    host, _ = site()
    assert planned(host, spec(guest("shop")), renaming()) == Plan()
    assert refusals(planned(host, spec(guest("db")), renaming())) == [
        "there is no guest of that name in the spec"
    ]


def test_names_that_are_taken() -> None:
    host, wanted = site(guest("db", needs=(GuestName("web"),)))
    found = refusals(planned(host, wanted, renaming("db")))
    assert found == [
        "there is a guest db in the spec", "there is a domain db", "it is needed by db",
    ]  # fmt: skip
    host, wanted = site()
    assert refusals(planned(host, wanted, renaming("web"))) == ["that is its name already"]
    host.lvm.add("vm-shop-data", GIB)
    assert refusals(planned(host, wanted, renaming())) == ["there is an LV rl_build/vm-shop-data"]


def test_the_file_of_another_guest_is_not_replaced() -> None:
    place = Place(file="/etc/kvmkeep/guests/shop.yaml", line=1, column=1)
    host, wanted = site(replace(guest("other"), place=place))
    plan = plan_rename(wanted, host.facts(wanted), renaming())
    assert refusals(plan) == ["shop.yaml is the file of guest other"]


def test_files_that_can_not_be_renamed_or_given_a_line() -> None:
    host, wanted = site()
    other = renaming(file="/etc/kvmkeep/guests/a.yaml")
    assert "its name stands in /etc/kvmkeep/guests/a.yaml" in refusals(
        planned(host, wanted, other)
    )[0]  # fmt: skip
    flow = planned(host, wanted, renaming(takes_identity=False))
    assert flow.refusals[0].hint.startswith("write `identity: web` into it")


def test_guests_that_are_not_at_rest() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    (domain,) = facts.domains

    def with_domain(**changes: object) -> Facts:
        return replace(facts, domains=(replace(domain, **changes),))

    def told(found: Facts) -> list[str]:
        return refusals(plan_rename(wanted, found, renaming()))

    assert told(with_domain(state=DomainState.RUNNING)) == [
        "it runs, and libvirt renames only guests that are off"
    ]
    assert "which is not ours" in told(with_domain(ours=False))[0]
    assert told(with_domain(name="other")) == ["it was being renamed to other"]
    assert told(replace(facts, domains=())) == ["libvirt does not know it yet"]
    hole = Problem(what="volume groups", reason="vgs failed", hint="run it as root")
    assert told(replace(facts, problems=(hole,))) == ["vgs failed"]
    volumes = tuple(
        replace(v, tags=(*v.tags, "kvmkeep.state=fresh")) if v.name == "vm-web" else v
        for v in facts.volumes
    )
    assert told(replace(facts, volumes=volumes)) == ["its first boot is not done yet"]


def test_volumes_that_are_lost_or_being_reverted() -> None:
    host, wanted = site()
    facts = host.facts(wanted)
    merging = tuple(replace(v, merging=v.name == "vm-web") for v in facts.volumes)
    assert refusals(planned(host, wanted, renaming(), volumes=merging)) == [
        "rl_build/vm-web is being reverted to a snapshot"
    ]
    lost = tuple(v for v in facts.volumes if v.name != "vm-web-data")
    assert refusals(planned(host, wanted, renaming(), volumes=lost)) == [
        "its LV rl_build/vm-web-data is gone, or is not ours"
    ]


@pytest.mark.parametrize("already", [1, 2, 3, 4])
def test_what_is_done_already_is_not_done_again(already: int) -> None:
    host, wanted = site()
    steps = planned(host, wanted, renaming()).steps
    for step in steps[:already]:
        carry_out(host, step)
    assert planned(host, wanted, renaming()).steps[0].what == steps[already].what


PLACE = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"


def uefi(inside: str = "") -> tuple[FakeHost, Spec]:
    """Return a host whose guest web boots by UEFI that libvirt chooses."""
    host, wanted = site()
    xml = xml_text(host.libvirt.domains["web"].xml)
    xml = xml.replace("<os>", f"<os firmware='efi'>{inside}")
    host.libvirt.domains["web"].xml = ET.fromstring(xml)  # noqa: S314 - our own
    host.put(PLACE, b"of web")
    return host, wanted


@pytest.mark.parametrize("killed", range(8))
def test_variables_that_libvirt_finds_by_the_name_stay_the_guest_s(killed: int) -> None:
    host, wanted = uefi()
    host.put(PLACE.replace("web", "shop"), b"of another")
    first = planned(host, wanted, renaming())
    for action in [action for step in first.steps for action in step.actions][:killed]:
        carry_out(host, replace(first.steps[0], probe=None, actions=(action,)))
        for domain in host.libvirt.domains.values():
            assert firmware_variables(domain.xml) == PLACE
    for step in planned(host, wanted, renaming()).steps:
        carry_out(host, step)
    system = host.libvirt.domains["shop"].xml.find("os")
    assert (system.get("firmware"), system.findtext("nvram")) == ("efi", PLACE)
    assert host.read(PLACE) == b"of web"
    assert host.read(PLACE.replace("web", "shop")) == b"of another"
    assert f"<nvram>{PLACE}</nvram>".encode() in host.files["/root/kvm/shop.xml"].content


@pytest.mark.parametrize(
    "inside",
    [
        "<nvram>/srv/web.fd</nvram>",
        f"<nvram>{PLACE}</nvram>",
        f"<nvram type='file'><source file='{PLACE}'/></nvram>",
        "<loader stateless='yes'/>",
    ],
)
def test_variables_with_a_place_of_their_own_need_no_other_and_those_of_none_get_none(
    inside: str,
) -> None:
    host, wanted = uefi(inside)
    before = xml_text(host.libvirt.domains["web"].xml.find("os"))
    plan = planned(host, wanted, renaming())
    assert plan.steps[0].what == "rename the domain to shop"
    for step in plan.steps:
        carry_out(host, step)
    assert xml_text(host.libvirt.domains["shop"].xml.find("os")) == before


def test_the_os_of_others_is_left_alone() -> None:
    host, wanted = uefi()
    (domain,) = host.facts(wanted).domains
    others = "<metadata><os xmlns='urn:x'><of>web</of></os>"
    xml = domain.xml.replace("<metadata>", others)
    plan = planned(host, wanted, renaming(), domains=(replace(domain, xml=xml),))
    for step in plan.steps:
        for file in (one for one in step.actions if isinstance(one, WriteFile)):
            root = ET.fromstring(file.content)  # noqa: S314 - our own
            assert others.encode() in file.content
            assert root.findtext("os/nvram") == PLACE


def test_a_new_guest_of_the_old_name_does_not_get_the_variables() -> None:
    host, wanted = uefi()
    for step in planned(host, wanted, renaming()).steps:
        carry_out(host, step)
    shop = replace(guest("shop", data=GIB, nics=WEB.nics), identity=WEB.identity, uuid=WEB.uuid)
    new = replace(guest(nics=(nic("web", number=7),)), identity="second", uuid=guest("second").uuid)
    again = spec(shop, new, template=BASE.replace("<os>", "<os firmware='efi'>"))
    plan = make_plan(again, host.facts(again))
    assert any(f"would be those of the domain shop, {PLACE}" in one for one in refusals(plan))


@pytest.mark.parametrize(("old", "new"), [("web", "web-old"), ("web-old", "web")])
def test_an_lv_that_has_its_new_name_is_not_renamed_again(old: str, new: str) -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(guest(old, data=GIB))
    reach(host, wanted)
    host.libvirt.domains[old].live = None
    file = f"/etc/kvmkeep/guests/{old}.yaml"
    host.put(file, b"image: debian\n")
    for disk in ("", "-data"):
        lv, tag = f"vm-{old}{disk}", f"kvmkeep.disk={disk[1:] or 'root'}"
        marks = ("kvmkeep", f"kvmkeep.guest={old}", tag)
        host.lvm.add(f"{lv}-20260102T1200Z", GIB, *marks).origin = lv
    names = renaming(new, old=GuestName(old), file=file)
    steps = planned(host, wanted, names).steps
    for step in steps:
        for action in step.actions:  # killed between the two commands of each step
            if str(action).startswith(("virsh domrename", "lvrename")):
                host.run(action)
    for step in planned(host, wanted, names).steps:
        carry_out(host, step)
    lvs = {f"vm-{new}{disk}{of}" for disk in ("", "-data") for of in ("", "-20260102T1200Z")}
    assert {*host.lvm.volumes} == lvs
    assert all(f"kvmkeep.guest={new}" in one.tags for one in host.lvm.volumes.values())
    sources = host.libvirt.domains[new].xml.findall("devices/disk/source[@dev]")
    assert [one.get("dev") for one in sources] == [
        f"/dev/rl_build/vm-{new}",
        f"/dev/rl_build/vm-{new}-data",
    ]


def test_what_a_disk_grows_by_is_renamed_with_it() -> None:
    host, wanted = site()
    host.lvm.add("vm-web+grow", GIB, "kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=root")
    for step in planned(host, wanted, renaming()).steps:
        carry_out(host, step)
    assert "vm-shop+grow" in host.lvm.volumes


def test_a_guest_on_its_way_into_the_trash_keeps_its_name() -> None:
    host, wanted = site()
    host.lvm.volumes["vm-web-data"].tags.add("kvmkeep.trash=20261123T0710Z")
    (refusal,) = planned(host, wanted, renaming()).refusals
    assert "vm-web-data is on its way into the trash, or out of it" in refusal.reason
    assert "kvmkeep trash restore web-20261123T0710Z" in refusal.hint


def test_a_disk_is_found_by_each_name_that_can_be_changed() -> None:
    host, wanted = site()
    (domain,) = host.facts(wanted).domains
    as_file = domain.xml.replace('dev="/dev/rl_build/vm-web"', 'file="/dev/rl_build/vm-web"')
    assert as_file != domain.xml
    plan = planned(host, wanted, renaming(), domains=(replace(domain, xml=as_file),))
    files = [a for step in plan.steps for a in step.actions if isinstance(a, WriteFile)]
    assert plan.refusals == ()
    assert b'file="/dev/rl_build/vm-shop"' in files[0].content


def test_a_definition_that_would_name_a_path_that_is_gone_is_refused() -> None:
    host, wanted = site()
    (domain,) = host.facts(wanted).domains
    odd = "/dev/disk/by-id/dm-name-rl_build-vm--web"
    xml = domain.xml.replace('"/dev/rl_build/vm-web"', f'"{odd}"')
    root, *others = domain.disks
    changed = replace(domain, xml=xml, disks=(replace(root, source=odd), *others))
    (refusal,) = planned(host, wanted, renaming(), domains=(changed,)).refusals
    assert refusal.reason == f"its definition names /dev/rl_build/vm-web as {odd}"
    assert refusal.hint == "name it as /dev/rl_build/vm-web there: virsh edit web"


def test_who_was_not_renamed_to_the_end_is_told_so_by_other_verbs() -> None:
    host, wanted = site()
    for step in planned(host, wanted, renaming()).steps:
        carry_out(host, step)
        if "shop" in host.libvirt.domains:
            break
    facts = host.facts(wanted)
    names = (GuestName("web"),)
    for plan in (
        plan_start(wanted, facts, names),
        plan_create(wanted, facts, SnapshotRequest(guests=names, moment=facts.time)),
        make_plan(wanted, facts),
    ):
        (refusal,) = plan.refusals
        assert refusal.reason == "its domain is called shop: it was being renamed"
        assert refusal.hint.startswith("finish that: kvmkeep rename web shop; or")
    (refusal,) = planned(host, wanted, renaming("other")).refusals
    assert refusal.hint == "finish that first: kvmkeep rename web shop"


def test_no_name_is_taken_whose_log_is_anothers() -> None:
    host, wanted = site(guest("db"))
    found = refusals(planned(host, wanted, renaming("db-console")))
    assert found == ["its log and that of db would be one file"]
    assert refusals(planned(host, wanted, renaming("web-console"))) == []


def test_what_somebody_left_under_the_new_name_is_kept() -> None:
    host, wanted = site()
    log = "/var/log/libvirt/qemu/{}-console.log"
    host.put("/root/kvm/shop.xml", b"<by-hand/>")
    host.put(log.format("web"), b"web")
    host.put(log.format("shop"), b"of another")
    steps = planned(host, wanted, renaming()).steps
    for step in steps[:-1]:
        carry_out(host, step)
    # Killed after it kept its definition: that is nothing that somebody left.
    carry_out(host, replace(steps[-1], actions=steps[-1].actions[:2]))
    assert host.files["/root/kvm/shop.by-hand.xml"].content == b"<by-hand/>"
    assert b"<name>shop</name>" in host.files["/root/kvm/shop.xml"].content
    (last,) = planned(host, wanted, renaming()).steps
    assert "by-hand" not in repr(last)
    assert host.files[log.format("shop")].content == b"web"
    assert host.files[log.format("shop") + ".~1~"].content == b"of another"


def test_what_reads_or_writes_an_lv_keeps_its_name() -> None:
    host, wanted = site()
    snapshot = host.lvm.add("vm-web-20260102T1200Z", GIB, "kvmkeep", "kvmkeep.guest=web")
    snapshot.origin = "vm-web"
    seen = host.facts(wanted).volumes
    for name in ("vm-web-data", "vm-web-20260102T1200Z"):
        volumes = tuple(replace(one, opened=one.name == name) for one in seen)
        (refusal,) = planned(host, wanted, renaming(), volumes=volumes).refusals
        assert refusal.reason == f"something has rl_build/{name} open"
        assert "lsblk /dev/rl_build/" in refusal.hint


@pytest.mark.parametrize("kind", ["vnc", "spice"])
def test_a_password_that_libvirt_does_not_tell_is_not_lost(kind: str) -> None:
    host, wanted = site()
    devices = host.libvirt.domains["web"].xml.find("devices")
    ET.SubElement(devices, "graphics", type=kind, passwd="s3cret")
    plan = planned(host, wanted, renaming())
    assert (plan.notes, "s3cret" in repr(plan)) == ((), False)
    for step in plan.steps:
        carry_out(host, step)
    after = host.libvirt.domains["shop"].xml
    assert after.find("devices/graphics").get("passwd") == "s3cret"
    sources = [s.get("dev") for s in after.findall("devices/disk/source") if s.get("dev")]
    assert sources == ["/dev/rl_build/vm-shop", "/dev/rl_build/vm-shop-data"]
    assert after.find("devices/serial/log").get("file").endswith("/shop-console.log")
    assert "/run/kvmkeep/shop.xml" not in host.files
    assert b"s3cret" not in host.files["/root/kvm/shop.xml"].content


def test_where_variables_can_not_be_named_beside_a_password_it_is_said() -> None:
    host, wanted = site()
    (domain,) = host.facts(wanted).domains
    text = "\n  <os>\n    <type>hvm</type>\n  </os>\n"
    devices = "<devices><graphics type='vnc'/>"
    for times, told in ((1, []), (2, ["its definition has no <os>, or more than one"])):
        xml = re.sub(r"<os>.*?</os>", text * times, domain.xml, flags=re.DOTALL)
        changed = replace(
            domain, xml=xml.replace("<devices>", devices), variables="/nvram/web_VARS.fd"
        )
        plan = planned(host, wanted, renaming(), domains=(changed,))
        assert refusals(plan) == told
    assert plan.refusals[0].hint.startswith("write <nvram>/nvram/web_VARS.fd</nvram> there")
