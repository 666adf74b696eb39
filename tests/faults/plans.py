"""The plans that are swept: a host, what is wanted, and what holds in the end."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_interface
from itertools import count
from xml.etree import ElementTree as ET

from fakes.borg import FakeArchives
from fakes.files import roots_own
from fakes.host import CLOUD, FakeHost, FakeImage, digest_of
from fakes.lvm import EXTENT
from fakes.nm import FakeLink, FakeProfile
from fakes.tree import tree_text
from fakes.virsh import FakeDomain, xml_text
from msgspec.structs import replace

from kvmkeep.cli.takeover import look_at
from kvmkeep.model.agent import AgentFacts
from kvmkeep.model.backup_policy import Engine, Keep
from kvmkeep.model.facts import Facts
from kvmkeep.model.fittings import parse_fittings
from kvmkeep.model.host_units import GUESTS, LISTENERS, TIMER, TIMERS
from kvmkeep.model.image_facts import Contents
from kvmkeep.model.inside import parse_inside
from kvmkeep.model.names import COPY_DIR, FETCH_DIR, console_log, disk_path
from kvmkeep.model.plan import Plan
from kvmkeep.model.run import ReadyConsole
from kvmkeep.model.snapshot import Level
from kvmkeep.model.spec import (
    Algorithm,
    Checksum,
    ChecksumList,
    FileDisk,
    FirstBoot,
    Format,
    Guest,
    LvDisk,
    Packing,
    Spec,
)
from kvmkeep.model.tweak import Tweak
from kvmkeep.model.units import GuestName, Label, Mac, Size
from kvmkeep.planning.adoption.choice import AdoptRequest
from kvmkeep.planning.adoption.release import Letting, plan_release
from kvmkeep.planning.backups.copy_out import plan_copy_out_of
from kvmkeep.planning.backups.forget import Forgetting, plan_forget
from kvmkeep.planning.backups.restore import plan_restore as plan_bring_back
from kvmkeep.planning.backups.restoring import BackupRestoreRequest
from kvmkeep.planning.backups.send import Storing, plan_send
from kvmkeep.planning.backups.take import Beginning, plan_drop, plan_take
from kvmkeep.planning.backups.to_file import DiskToFile, plan_to_file
from kvmkeep.planning.backups.upkeep import plan_prune
from kvmkeep.planning.clones.clone import Cloning, plan_clone
from kvmkeep.planning.clones.origin import Wanted
from kvmkeep.planning.domains.new_name import Renaming
from kvmkeep.planning.domains.rename import plan_rename
from kvmkeep.planning.domains.xml import BASE
from kvmkeep.planning.offline.copy_in import CopyIn, plan_copy_in
from kvmkeep.planning.offline.copy_out import CopyOut, plan_copy_out
from kvmkeep.planning.offline.inspect import Question, plan_inspect
from kvmkeep.planning.offline.rewriting import OfflineChange
from kvmkeep.planning.offline.tweak import plan_tweak
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.autostart import plan_autostart
from kvmkeep.planning.running.host_down import NO_SPEC, plan_host_down
from kvmkeep.planning.running.poweroff import plan_poweroff
from kvmkeep.planning.running.reboot import plan_cold_reboot, plan_reboot
from kvmkeep.planning.running.shutdown import plan_shutdown
from kvmkeep.planning.running.start import plan_start
from kvmkeep.planning.running.suspend_resume import plan_resume, plan_suspend
from kvmkeep.planning.running.watch import plan_look_after
from kvmkeep.planning.scene import active
from kvmkeep.planning.snapshots.create import SnapshotRequest, plan_create
from kvmkeep.planning.snapshots.delete import plan_delete, plan_delete_expired
from kvmkeep.planning.snapshots.revert import plan_revert
from kvmkeep.planning.snapshots.watch import Watch, plan_watch
from kvmkeep.planning.trash.empty import plan_empty
from kvmkeep.planning.trash.remove import Removing, plan_remove
from kvmkeep.planning.trash.remove_disk import RemovingDisk, plan_remove_disk
from kvmkeep.planning.trash.restore import TrashRestoreRequest, plan_restore
from kvmkeep.planning.units.install import plan_install, plan_uninstall
from kvmkeep.spec.load import load
from tests.unit.planning.build import GIB, HOST, IMAGE, POLICY, VAULT, guest, network, nic, spec
from tests.unit.planning.proven import leftovers as of_proofs
from tests.unit.planning.proven import prover, site_with_backup
from tests.unit.planning.rounds import carry_out, plan_recover, reach
from tests.unit.planning.test_trash_variables import uefi
from tests.unit.planning.test_tweak import ALL

Planner = Callable[[Spec, Facts], Plan]
OPENSTACK = replace(CLOUD, datasources=("OpenStack",))
URL = "https://images.example.org/debian.raw.zst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A host before the run, and the goal. `off` are the guests that are off in the end.

    `paused` are those that stand still then, and `booted` those that have booted once more.
    """

    host: FakeHost
    spec: Spec
    planner: Planner = make_plan
    off: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    """The names of the sets of snapshots that there are of each guest in the end."""
    sets_of: tuple[str, ...] = ()
    """The guests that have those sets; empty for all."""
    trash: tuple[str, ...] = ()
    """The names of the LVs that lie in the trash in the end."""
    paused: tuple[str, ...] = ()
    booted: tuple[str, ...] = ()
    by_units: bool = False
    """Whether the guests start with the host by kvmkeep's units."""
    grown: bool = False
    """Whether the filesystems have all that their disks have."""
    kept: tuple[str, ...] = ()
    """LVs that are no disk of their guest any more."""
    still: tuple[str, ...] = ()
    """Disks that a running guest has in the end beyond its definition."""
    addresses: str = ""
    """What web has inside in the end, in its disk, and as its domain remembers it."""
    backups: tuple[str, ...] = ()
    """The backups that the repository holds in the end."""
    remains: frozenset[str] = frozenset()
    """Backups of dead runs that may still lie there in part: until the guest's next backup."""
    released: bool = False
    """Whether nothing wears our marks in the end."""
    proven: bool = False
    """Whether there is a good verdict on web's backup."""
    brought: tuple[tuple[str, bytes], ...] = ()
    """Files that the run is for, with their contents."""
    variables: tuple[tuple[str, bytes], ...] = ()
    """The variables of firmware that lie in their places in the end."""
    restored: bool = False
    """Whether disks lie in the trash, and the guest goes on with others."""


def undefined_by_others() -> Case:
    """Somebody undefined a running guest, and gave profiles another name and an address."""
    wanted = spec(guest())
    host = a_host()
    reach(host, wanted)
    web = host.libvirt.domains["web"]
    web.xml, web.transient, web.autostart = copy.deepcopy(web.live), True, False
    (own,) = wanted.networks
    names = {own.bridge, own.vlan_interface}
    for one in [one for one in host.nm.profiles.values() if one.interface in names]:
        words = ["connection.id", f"renamed-{one.name}"]
        if one.type == "bridge":
            words += ["ipv4.method", "manual", "ipv4.addresses", "192.0.2.9/24"]
        code, said = host.nm.nmcli(("connection", "modify", "uuid", one.uuid, *words))
        assert code == 0, said
    return Case(host=host, spec=wanted)


def first_guest() -> Case:
    return Case(host=a_host(), spec=spec(guest()))


def multihomed_with_data_disk() -> Case:
    on_internal = nic("web", 1, "internal", addresses=(ip_interface("10.64.0.7/24"),), gateway=None)
    wanted = guest(data=GIB + 4096, nics=(nic("web"), on_internal))
    networks = (network(), network("internal", 2368, stp=False))
    return Case(host=a_host(), spec=spec(wanted, networks=networks))


def dhcp() -> Case:
    wanted = guest(nics=(nic("web", dhcp=True, addresses=(), gateway=None),))
    return Case(host=a_host(size=GIB + 1536), spec=spec(wanted))


def openstack_only() -> Case:
    return Case(host=a_host(OPENSTACK), spec=spec(guest()))


def complete_image() -> Case:
    no_cloud_init = replace(CLOUD, cloud_init=False)
    return Case(host=a_host(no_cloud_init), spec=spec(guest(first_boot=FirstBoot.NONE)))


def packed_image() -> Case:
    host = with_foreign_things(FakeHost())
    packed = b"zst:" + host.add_image("/tmp/plain", FakeImage("raw", 2 * GIB, CLOUD))
    host.put("/srv/debian.raw.zst", packed)
    check = Checksum(algorithm=Algorithm.SHA256, digest=digest_of(packed))
    image = replace(IMAGE, source="/srv/debian.raw.zst", packing=Packing.ZSTD, check=check)
    return Case(host=host, spec=spec(guest(), images=(image,)))


def remote_packed_image() -> Case:
    """Fetched, checked against a list that holds its own signature, and unpacked."""
    host = with_foreign_things(FakeHost())
    packed = b"gz:" + host.add_image("/tmp/plain", FakeImage("qcow2", 2 * GIB, CLOUD))
    host.web[URL] = packed
    sums = host_knows_list(host, packed)
    host.web[f"{URL}.sums"] = b"signed:" + sums
    check = ChecksumList(source=f"{URL}.sums", signature="inline", keyring="/etc/k.gpg")
    image = replace(
        IMAGE, source=URL, format=Format.QCOW2, packing=Packing.GZIP, check=check, write_rate=10**8
    )
    return Case(host=host, spec=spec(guest(), images=(image,)))


def remote_image_with_detached_signature() -> Case:
    host = with_foreign_things(FakeHost())
    complete = replace(CLOUD, cloud_init=False)
    content = host.add_image("/tmp/plain", FakeImage("raw", 2 * GIB, complete))
    host.web[URL] = content
    host.web[f"{URL}.sums"] = host_knows_list(host, content)
    host.web[f"{URL}.sums.sig"] = b"signed:"
    check = ChecksumList(source=f"{URL}.sums", signature=f"{URL}.sums.sig", keyring="/etc/k.gpg")
    image = replace(IMAGE, source=URL, check=check)
    return Case(host=host, spec=spec(guest(first_boot=FirstBoot.NONE), images=(image,)))


def host_knows_list(host: FakeHost, content: bytes) -> bytes:
    """Return a vendor's list that holds the checksum of just this content."""
    sums = f"{digest_of(content)}  debian.raw.zst\n".encode()
    host.lists[sums] = f"sha256:{digest_of(content)}"
    return sums


def new_network_beside_one_in_use() -> Case:
    host = a_host()
    reach(host, spec(guest("old", data=GIB)))
    new = guest("new", nics=(nic("new", on="internal"),))
    networks = (network(), network("internal", 2368))
    return Case(host=host, spec=spec(guest("old", data=GIB), new, networks=networks))


def changes_of_what_is_there() -> Case:
    host = a_host()
    reach(host, spec(guest()))
    wanted = guest(memory=Size(3 * GIB), vcpus=4, autostart=False)
    networks = (network(stp=False, ageing_time=300),)
    return Case(host=host, spec=spec(wanted, networks=networks))


def changing_a_bridge_in_use() -> Case:
    """An option of the bridge, and the VLAN behind it."""
    host = a_host()
    reach(host, spec(guest()))
    ET.SubElement(host.libvirt.domains["web"].live.find("devices/interface"), "target", dev="vnet0")
    host.nm.links["vnet0"] = FakeLink("vnet0", "tun", master="virbr1.223")
    host.peers = {"192.0.2.77": True, "192.0.2.78": False}
    on = network(ageing_time=300, stp=False, vlan=224)
    return Case(
        host=host,
        spec=spec(
            guest(), networks=(replace(on, bridge="virbr1.223", vlan_interface="uplink0.223"),)
        ),
    )


def another_bridge_for_guests_in_use() -> Case:
    """Its VLAN leaves the old one, and all guests move after it."""
    host = a_host()
    reach(host, spec(guest(), guest("mail")))
    on = network(bridge="br223")
    return Case(host=host, spec=spec(guest(), guest("mail"), networks=(on,)))


def bridge_taken_down_by_others() -> Case:
    """Somebody took the bridge down: its device is gone, its port, and guests' taps are loose."""
    host = a_host()
    wanted = spec(guest(), guest("mail"))
    reach(host, wanted)
    (on,) = wanted.networks
    for number, name in enumerate(("web", "mail")):
        ET.SubElement(
            host.libvirt.domains[name].live.find("devices/interface"), "target", dev=f"vnet{number}"
        )
        host.nm.links[f"vnet{number}"] = FakeLink(f"vnet{number}", "tun")
    for profile in host.nm.profiles.values():
        if profile.interface in {on.bridge, on.vlan_interface}:
            profile.device = ""
    del host.nm.links[on.bridge], host.nm.links[on.vlan_interface]
    return Case(host=host, spec=wanted)


def changing_a_bridge_that_is_down() -> Case:
    """The same, and the spec wants another option of the bridge, and another VLAN behind it."""
    host = bridge_taken_down_by_others().host
    on = replace(
        network(ageing_time=300, stp=False, vlan=224),
        bridge="virbr1.223", vlan_interface="uplink0.223",
    )  # fmt: skip
    return Case(host=host, spec=spec(guest(), guest("mail"), networks=(on,)))


def changing_a_running_guest() -> Case:
    """All that can be changed of one at once, after somebody else changed something too."""
    host = a_host()
    networks = (network(), network("internal", 2368))
    given = nic("web", 2, mac=Mac("52:54:00:0a:0b:0c"), addresses=(), dhcp=True, gateway=None)
    before = guest(
        nics=(nic("web"), nic("web", 1, gateway=None), given), memory_headroom=Size(2 * GIB),
        vcpus_headroom=2, labels=("old",),
    )  # fmt: skip
    reach(host, spec(before, networks=networks))
    domain = host.libvirt.domains["web"]
    domain.agent = True
    domain.live.find("devices").remove(domain.live.findall("devices/interface")[1])
    ET.SubElement(domain.xml.find("devices"), "hostdev")
    after = replace(
        before, nics=(nic("web"), nic("web", 1, on="internal", gateway=None), nic("web", 3)),
        memory=Size(3 * GIB), vcpus=3, memory_headroom=Size(3 * GIB), vcpus_headroom=0,
        labels=("new",), description="the shop",
    )  # fmt: skip
    return Case(host=host, spec=spec(after, networks=networks))


def lost_domain_that_is_to_be_another_one() -> Case:
    host = a_host()
    networks = (network(), network("internal", 2368))
    reach(host, spec(guest(), networks=networks))
    del host.libvirt.domains["web"]
    wanted = guest(
        nics=(nic("web", on="internal"), nic("web", 1, named=True)), memory=Size(3 * GIB), vcpus=1,
        labels=("new",),
    )  # fmt: skip
    return Case(host=host, spec=spec(wanted, networks=networks), off=("web",))


def domain_and_its_seed_left_behind() -> Case:
    """An LV in service without its domain, one inactive, and a seed that nobody removed."""
    host = a_host()
    wanted = spec(guest("a", data=GIB), guest("b"))
    reach(host, wanted)
    del host.libvirt.domains["a"]
    host.put("/var/lib/kvmkeep/seed/b.iso", b"secret", 0o600)
    return Case(host=host, spec=wanted, off=("a",))


def starting() -> Case:
    host = a_host()
    wanted = spec(
        guest("web", needs=(GuestName("db"),), ready=ReadyConsole(pattern="first boot d.ne")),
        guest("db", data=GIB),
    )
    reach(host, wanted)
    for domain in host.libvirt.domains.values():
        domain.live = None
    for volume in ours(host):
        volume.active = False
    with_talking_guests(host)
    names = ("web",)
    return Case(host=host, spec=wanted, planner=lambda s, f: plan_start(s, f, names))


def recovering() -> Case:
    """Return a host after a power cut: web and mail need db, which needs dns; one runs already."""
    host = a_host()
    names = ("web", "mail", "db", "dns")
    db = (GuestName("db"),)
    wanted = spec(
        guest("web", needs=db, mounts=("/data",)),
        guest("mail", needs=db, ready=ReadyConsole(pattern="first boot d.ne")),
        guest("db", needs=(GuestName("dns"),), data=GIB),
        guest("dns"),
    )
    host.mounts.add("/data")
    reach(host, wanted)
    for name in names[:3]:
        host.libvirt.domains[name].end()
    for volume in ours(host):
        volume.active = False
    with_talking_guests(host)
    return Case(host=host, spec=wanted, planner=plan_recover)


def host_going_down() -> Case:
    """All guests, also one that the spec does not name any more; none of them for good."""
    host = a_host()
    wanted = spec(guest("web", needs=(GuestName("db"),)), guest("db"), guest("dns"))
    reach(host, wanted)
    return Case(host=host, spec=wanted, planner=plan_host_down, off=("web", "db", "dns"))


def host_going_down_without_a_spec() -> Case:
    """The spec is broken and none was kept: only marks tell who is a guest."""

    def planner(_: Spec, facts: Facts) -> Plan:
        return plan_host_down(NO_SPEC, facts)

    case = host_going_down()
    return Case(host=case.host, spec=case.spec, planner=planner, off=case.off)


def looking_after_the_dead() -> Case:
    """Return a host on which web and what it needs have died, and mail was shut down by hand.

    Each look comes two hours after the one before: how often a guest dies is another test.
    """
    host = a_host()
    wanted = spec(guest("web", needs=(GuestName("db"),)), guest("db", data=GIB), guest("mail"))
    reach(host, wanted)
    host.libvirt.domains["web"].end()
    host.libvirt.domains["db"].end()
    host.libvirt.domains["mail"].end("shutdown")
    hours = count(0, 2)

    def planner(wanted: Spec, facts: Facts) -> Plan:
        time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=next(hours))
        running = (one.name for one in facts.domains if active(one))
        agents = tuple(AgentFacts(guest=name, problem="") for name in running)
        return plan_look_after(wanted, replace(facts, time=time.isoformat(), agents=agents))

    return Case(host=host, spec=wanted, planner=planner, off=("mail",))


def installing_units() -> Case:
    host, wanted, _ = two_guests()
    return Case(host=host, spec=wanted, planner=plan_install, by_units=True)


def installing_units_for_backups() -> Case:
    host, before, _ = two_guests()
    reach(host, before, plan_install)
    first, *others = before.guests
    wanted = replace(before, guests=(replace(first, backup=POLICY), *others))
    return Case(host=host, spec=wanted, planner=plan_install, by_units=True)


def taking_away_units_for_backups() -> Case:
    case = installing_units_for_backups()
    reach(case.host, case.spec, plan_install)
    plain = tuple(replace(one, backup=None) for one in case.spec.guests)
    return dataclasses.replace(case, spec=replace(case.spec, guests=plain))


def uninstalling_units() -> Case:
    host, wanted, _ = two_guests()
    reach(host, wanted, plan_install)
    return Case(host=host, spec=wanted, planner=plan_uninstall)


def applying_with_units() -> Case:
    """A new guest, one that is to start with the host now, and one that is not any more."""
    host = a_host()
    before = spec(guest("web"), guest("db", autostart=False))
    reach(host, before)
    reach(host, before, plan_install)
    wanted = spec(guest("web", autostart=False), guest("db"), guest("new"))
    return Case(host=host, spec=wanted, by_units=True)


def shutting_down() -> Case:
    host = a_host()
    wanted = spec(guest("web", needs=(GuestName("db"),)), guest("db"), guest("dns"))
    reach(host, wanted)
    names = ("web", "db")
    return Case(
        host=host,
        spec=wanted,
        planner=lambda s, f: plan_shutdown(s, f, names, 60),
        off=names,
    )


MOMENT = "2026-11-23T07:10:34+00:00"
SOMEBODYS = "somebodys-own"
"""An archive of others in the repository."""


def running_with_two_disks() -> tuple[FakeHost, Spec]:
    host = a_host()
    wanted = spec(guest("web", data=GIB))
    reach(host, wanted)
    host.libvirt.domains["web"].agent = True
    return host, wanted


def snapshot_of_frozen_guest() -> Case:
    host, wanted = running_with_two_disks()
    wish = SnapshotRequest(guests=("web",), moment=MOMENT)
    return Case(
        host=host, spec=wanted, planner=lambda s, f: plan_create(s, f, wish),
        sets=("20261123T0710Z",),
    )  # fmt: skip


def snapshot_of_suspended_guest() -> Case:
    host, wanted = running_with_two_disks()
    wish = SnapshotRequest(guests=("web",), moment=MOMENT, level=Level.CRASH, size=Size(100 << 20))
    return Case(
        host=host, spec=wanted, planner=lambda s, f: plan_create(s, f, wish),
        sets=("20261123T0710Z",),
    )  # fmt: skip


def backed_up(**changes: object) -> tuple[FakeHost, Spec]:
    """Return a host whose guest is to be backed up into a repository that is there."""
    host, before = running_with_two_disks()
    (web,) = before.guests
    wanted = replace(before, guests=(replace(web, backup=POLICY),), repositories=(VAULT,))
    host.restic.run(
        ("--repo=/srv/vault", "--password-file=/root/pw", "--cache-dir=/var/cache/kvmkeep/restic",
         "init")
    )  # fmt: skip
    for name in ("host.yaml", "guests/host.yaml"):
        host.put(f"{SPEC_DIR}/{name}", b"x: y\n")
    return host, replace(wanted, **changes)


def take_set(host: FakeHost, wanted: Spec, moment: str) -> None:
    reach(
        host, wanted, lambda s, f: plan_take(s, f, Beginning(guest=GuestName("web"), moment=moment))
    )


def beginning_a_backup() -> Case:
    """A run before this one was killed in the middle of a disk."""
    host, wanted = backed_up()
    take_set(host, wanted, "2026-11-22T07:10:34+00:00")
    host.put("/var/lib/kvmkeep/backup/web/20261122T0710Z/root.blocks", b"x")
    take = Beginning(guest=GuestName("web"), moment=MOMENT)
    return Case(
        host=host, spec=wanted, planner=lambda s, f: plan_take(s, f, take),
        sets=("20261123T0710Z",),
    )  # fmt: skip


def storing_a_backup() -> Case:
    """In the repository lies what a killed run has stored."""
    host, wanted = backed_up()
    take_set(host, wanted, MOMENT)
    host.restic.run(
        ("--repo=/srv/vault", "--password-file=/root/pw", "--cache-dir=/var/cache/kvmkeep/restic",
         "backup", "--json", f"--host={HOST}", "--tag=kvmkeep,guest=web,set=20261122T0710Z,disk=root",
         "--stdin", "--stdin-filename=/web-root.raw")
    )  # fmt: skip
    store = Storing(guest=GuestName("web"), moment=MOMENT, spec_dir=SPEC_DIR)
    return Case(
        host=host, spec=wanted, planner=lambda s, f: plan_send(s, f, store),
        sets=("20261123T0710Z",), backups=("web@20261123T0710Z",),
    )  # fmt: skip


def with_borg() -> tuple[FakeHost, Spec]:
    """Return the same with borg; somebody else uses the repository as well."""
    host, wanted = backed_up()
    host.restic.repositories.clear()
    vault = host.borg.repositories[VAULT.url] = FakeArchives()
    vault.archives[SOMEBODYS] = {"x": b"y"}
    return host, replace(wanted, repositories=(replace(VAULT, engine=Engine.BORG),))


def storing_a_backup_with_borg() -> Case:
    """In the repository lies what runs before have half stored."""
    host, wanted = with_borg()
    take_set(host, wanted, MOMENT)
    for rest in (f"disk=root+size=1+host={HOST}", f"disk=data+size=1+host={HOST}.checkpoint"):
        name = f"kvmkeep+guest=web+set=20261122T0710Z+{rest}"
        host.borg.repositories[VAULT.url].archives[name] = {"web/root.raw": b"x"}
    store = Storing(guest=GuestName("web"), moment=MOMENT, spec_dir=SPEC_DIR)
    return Case(
        host=host, spec=wanted, planner=lambda s, f: plan_send(s, f, store),
        sets=("20261123T0710Z",), backups=("web@20261123T0710Z",),
    )  # fmt: skip


def forgetting_a_backup_of_borg() -> Case:
    host, wanted = with_borg()
    for day in (22, 23):
        moment = f"2026-11-{day}T07:10:34+00:00"
        take_set(host, wanted, moment)
        store = Storing(guest=GuestName("web"), moment=moment, spec_dir=SPEC_DIR)
        reach(host, wanted, partial(plan_send, storing=store))
        reach(host, wanted, plan_drop)
    wish = Forgetting(
        guests=(GuestName("web"),), now="2026-11-24T00:00:00+00:00", moment="20261122T0710Z"
    )
    return Case(
        host=host, spec=wanted, planner=partial(plan_forget, wish=wish),
        backups=("web@20261123T0710Z",),
    )  # fmt: skip


def ending_a_backup() -> Case:
    host, wanted = backed_up()
    take_set(host, wanted, MOMENT)
    host.put("/var/lib/kvmkeep/backup/web/20261123T0710Z/root.blocks", b"x")
    return Case(host=host, spec=wanted, planner=plan_drop)


def with_backups() -> tuple[FakeHost, Spec]:
    """Return a host whose guest was backed up on three days."""
    host, wanted = backed_up()
    for day in (21, 22, 23):
        moment = f"2026-11-{day}T07:10:34+00:00"
        take_set(host, wanted, moment)
        store = Storing(guest=GuestName("web"), moment=moment, spec_dir=SPEC_DIR)
        reach(host, wanted, partial(plan_send, storing=store))
        reach(host, wanted, plan_drop)
    return host, wanted


def forgetting_backups() -> Case:
    """In the repository lies what a killed run has stored as well, and the first has another name.

    The guest was called so then.
    """
    host, wanted = with_backups()
    for one in host.restic.listed(VAULT.url)[:3]:
        one.tags = tuple(tag.replace("guest=web", "guest=was") for tag in one.tags)
    host.restic.run(
        ("--repo=/srv/vault", "--password-file=/root/pw", "--cache-dir=/var/cache/kvmkeep/restic",
         "backup", "--json", f"--host={HOST}", "--tag=kvmkeep,guest=web,set=20261120T0710Z,disk=root",
         "--stdin", "--stdin-filename=/web-root.raw")
    )  # fmt: skip
    few = replace(POLICY, keep=Keep(last=1, daily=0, weekly=0, monthly=0))
    wanted = replace(wanted, guests=(replace(wanted.guests[0], backup=few),))
    wish = Forgetting(guests=(GuestName("web"),), now="2026-11-24T00:00:00+00:00")
    return Case(
        host=host, spec=wanted, planner=partial(plan_forget, wish=wish),
        backups=("web@20261123T0710Z",),
    )  # fmt: skip


def forgetting_one_backup() -> Case:
    host, wanted = with_backups()
    wish = Forgetting(
        guests=(GuestName("web"),), now="2026-11-24T00:00:00+00:00", moment="20261122T0710Z"
    )
    return Case(
        host=host, spec=wanted, planner=partial(plan_forget, wish=wish),
        backups=("web@20261121T0710Z", "web@20261123T0710Z"),
    )  # fmt: skip


def pruning_a_repository() -> Case:
    host, wanted = backed_up()
    return Case(host=host, spec=wanted, planner=partial(plan_prune, asked="2026-11-24T00:00:00Z"))


def snapshot_of_guest_that_is_off() -> Case:
    host, wanted = running_with_two_disks()
    host.libvirt.domains["web"].live = None
    wish = SnapshotRequest(guests=("web",), moment=MOMENT)
    return Case(
        host=host, spec=wanted, planner=lambda s, f: plan_create(s, f, wish),
        off=("web",), sets=("20261123T0710Z",),
    )  # fmt: skip


def deleting_a_set() -> Case:
    host, wanted = running_with_two_disks()
    for moment in (MOMENT, "2026-11-23T08:10:34+00:00"):
        wish = SnapshotRequest(guests=("web",), moment=moment)
        reach(host, wanted, lambda s, f, wish=wish: plan_create(s, f, wish))
    name = "20261123T0710Z"
    return Case(
        host=host, spec=wanted, planner=lambda s, f: plan_delete(s, f, "web", (name,)),
        sets=("20261123T0810Z",),
    )  # fmt: skip


def reverting_a_running_guest() -> Case:
    host, wanted = running_with_two_disks()
    wish = SnapshotRequest(guests=("web",), moment=MOMENT)
    reach(host, wanted, lambda s, f: plan_create(s, f, wish))
    to = "20261123T0710Z"
    return Case(host=host, spec=wanted, planner=lambda s, f: plan_revert(s, f, "web", to, 60))


def reverting_disks_that_are_not_active() -> Case:
    case = reverting_a_running_guest()
    case.host.libvirt.domains["web"].live = None
    for volume in case.host.lvm.volumes.values():
        volume.active = not volume.name.startswith("vm-web")
    return Case(host=case.host, spec=case.spec, planner=case.planner, off=("web",))


def reverting_and_keeping_what_was() -> Case:
    host, wanted = running_with_two_disks()
    wish = SnapshotRequest(guests=("web",), moment=MOMENT)
    reach(host, wanted, lambda s, f: plan_create(s, f, wish))
    to, later = "20261123T0710Z", "2026-11-23T08:10:34+00:00"
    return Case(
        host=host, spec=wanted, sets=("20261123T0810Z",),
        planner=lambda s, f: plan_revert(s, f, "web", to, 60, keep=later),
    )  # fmt: skip


def extending_snapshots_that_fill() -> Case:
    host, wanted = running_with_two_disks()
    wish = SnapshotRequest(guests=("web",), moment=MOMENT, size=Size(100 << 20))
    reach(host, wanted, lambda s, f: plan_create(s, f, wish))
    for volume in host.lvm.volumes.values():
        volume.filled = 85.0 if volume.origin else 0.0
    return Case(
        host=host, spec=wanted, planner=lambda s, f: plan_watch(s, f, Watch()),
        sets=("20261123T0710Z",),
    )  # fmt: skip


def deleting_expired_sets() -> Case:
    host, wanted = running_with_two_disks()
    for moment, expires in ((MOMENT, "2026-11-24"), ("2026-11-23T08:10:34+00:00", "2026-11-26")):
        wish = SnapshotRequest(guests=("web",), moment=moment, expires=f"{expires}T00:00:00+00:00")
        reach(host, wanted, lambda s, f, wish=wish: plan_create(s, f, wish))
    now = datetime(2026, 11, 25, tzinfo=UTC)
    return Case(
        host=host, spec=wanted, planner=lambda s, f: plan_delete_expired(s, f, now),
        sets=("20261123T0810Z",),
    )  # fmt: skip


def inspecting_a_running_guest() -> Case:
    host, wanted = running_with_two_disks()
    question = Question(name="web", asked="20261123T071034Z")

    def planner(spec: Spec, facts: Facts) -> Plan:
        answer = host.read(question.path, 1 << 20)
        known = parse_inside(answer.decode()) if answer is not None else None
        return plan_inspect(spec, facts, question, known)

    return Case(host=host, spec=wanted, planner=planner)


def copying_out(*, running: bool) -> Case:
    host, wanted = running_with_two_disks()
    if not running:
        host.libvirt.domains["web"].live = None
        host.lvm.volumes["vm-web"].active = False
    wish = CopyOut(
        guest="web", paths=("/etc/fstab", "/a b"), directory="/srv/x", largest=Size(1),
        way=roots_own("/srv/x"),
    )  # fmt: skip

    def planner(spec: Spec, facts: Facts) -> Plan:
        return plan_copy_out(spec, facts, replace(wish, there=host.names("/srv/x")))

    return Case(host=host, spec=wanted, planner=planner, off=() if running else ("web",))


def proving_a_backup_after_a_killed_proof() -> Case:
    host, site, subject = site_with_backup(a_host(), check=("/usr/bin/check-db",))
    step = prover(host, subject, "2026-11-20T12:40:00Z")(site, host.facts(site)).steps[1]
    carry_out(host, replace(step, always=(), finally_=()))
    return Case(host=host, spec=site, planner=prover(host, subject), proven=True)


def looking_after_a_killed_proof() -> Case:
    host, site, subject = site_with_backup(a_host())
    step = prover(host, subject)(site, host.facts(site)).steps[1]
    carry_out(host, replace(step, always=(), finally_=()))
    for path in [one for one in host.files if "/var/lib/kvmkeep/proof/" in one]:
        del host.files[path]  # the next proof removes them
    assert of_proofs(host)
    return Case(host=host, spec=site, planner=plan_look_after)


def restoring_a_backup() -> Case:
    host, site, subject = site_with_backup(a_host())
    (one,) = site.guests
    host.libvirt.domains["web"].end("shutdown")
    for number, disk in enumerate(one.volumes):
        path = f"/web-{disk.name}.raw"
        host.proof.repository.objects[f"0{number}" * 32][path] = host.lvm.volumes[disk.lv].holds
    host.proof.repository.instances["/web-root.raw"] = one.uuid
    wish = BackupRestoreRequest(subject=subject, guest=one, asked="2026-11-27T14:00:00Z")
    return Case(
        host=host, spec=site, off=("web",), restored=True,
        planner=lambda wanted, facts: plan_bring_back(wanted, facts, wish),
        trash=tuple(f"trash-20261127T1400Z-{disk.lv}" for disk in one.volumes),
    )  # fmt: skip


def restoring_a_disk_to_a_file() -> Case:
    host, site, subject = site_with_backup(a_host())
    way = roots_own("/srv/out")
    wish = DiskToFile(subject=subject, disk="data", path="/srv/out/data.raw", way=way)

    def planner(spec: Spec, facts: Facts) -> Plan:
        return plan_to_file(spec, facts, wish, there=host.look(wish.path) is not None)

    return Case(host=host, spec=site, planner=planner, brought=((wish.path, b"data"),))


def restoring_a_backup_as_a_new_guest() -> Case:
    host, site, subject = site_with_backup(a_host())
    (web,) = site.guests
    for number, disk in enumerate(web.volumes):
        path = f"/web-{disk.name}.raw"
        host.proof.repository.objects[f"0{number}" * 32][path] = host.lvm.volumes[disk.lv].holds
    host.proof.repository.instances["/web-root.raw"] = web.uuid
    copy = guest("copy", data=GIB, nics=(nic("copy", addresses=(ip_interface("10.223.0.99/24"),)),))
    file = f"{FOLDER}/copy.yaml"
    wish = Cloning(
        source=web.name, clone=copy, file=file, content=b"image: debian\n",
        wanted=Wanted(moment=MOMENT, backup=subject),
    )  # fmt: skip

    def planner(spec: Spec, facts: Facts) -> Plan:
        return plan_clone(spec if file in host.files else site, facts, wish)

    return Case(host=host, spec=replace(site, guests=(copy, web)), planner=planner)


def copying_out_of_a_backup() -> Case:
    host, site, subject = site_with_backup(a_host())
    wish = CopyOut(
        guest="web", paths=("/etc/fstab", "/a b"), directory="/srv/x", largest=Size(1),
        way=roots_own("/srv/x"),
    )  # fmt: skip

    def planner(spec: Spec, facts: Facts) -> Plan:
        there = replace(wish, there=host.names("/srv/x"))
        return plan_copy_out_of(spec, facts, subject, there)

    tree = "/run/kvmkeep/copy/web/repository/ids"
    of = f"{tree}/{'00' * 32}/web-root.raw"
    brought = tuple((f"/srv/x/{name}", f"{of} {path}".encode()) for name, path in (
        ("fstab", "/etc/fstab"), ("a b", "/a b"),
    ))  # fmt: skip
    return Case(host=host, spec=site, planner=planner, brought=brought)


def copying_out_of_a_running_guest() -> Case:
    return copying_out(running=True)


def copying_out_of_a_guest_that_is_off() -> Case:
    return copying_out(running=False)


def tweaking(*, image: bool) -> Case:
    host, wanted = running_with_two_disks()
    name = "debian" if image else "web"
    if not image:
        host.libvirt.domains["web"].live = None
    change = OfflineChange(
        name=name, asked="20261123T071034Z", output="/srv/new.raw" if image else "",
        way=roots_own("/srv"),
    )  # fmt: skip

    def planner(spec: Spec, facts: Facts) -> Plan:
        answer = host.read(change.answer, 1 << 20)
        known = parse_fittings(answer.decode()) if answer is not None else None
        return plan_tweak(spec, facts, replace(change, there=host.names("/srv")), ALL, known)

    return Case(host=host, spec=wanted, planner=planner, off=() if image else ("web",))


def tweaking_a_guest() -> Case:
    return tweaking(image=False)


def tweaking_a_copy_of_an_image() -> Case:
    return tweaking(image=True)


def tweaking_addresses() -> Case:
    """The spec says another address than the guest was given at its first boot."""
    host, before = running_with_two_disks()
    host.libvirt.domains["web"].live = None
    (web,) = before.guests
    moved = nic("web", addresses=(ip_interface("10.223.0.99/24"),))
    wanted = spec(replace(web, nics=(moved,)))
    change, wish = OfflineChange(name="web", asked="20261123T071034Z"), Tweak(nics=(moved,))

    def planner(spec: Spec, facts: Facts) -> Plan:
        answer = host.read(change.answer, 1 << 20)
        known = parse_fittings(answer.decode()) if answer is not None else None
        return plan_tweak(spec, facts, change, wish, known)

    return Case(host=host, spec=wanted, planner=planner, off=("web",), addresses="10.223.0.99/24")


def copying_in() -> Case:
    host, wanted = running_with_two_disks()
    host.libvirt.domains["web"].live = None
    for path in ("/srv/x/hosts", "/srv/y/new"):
        host.put(path, path.encode())
    change = OfflineChange(name="web", asked="20261123T071034Z")
    files = tuple(file for path in ("/srv/x/hosts", "/srv/y/new") if (file := host.look(path)))
    wish = CopyIn(files=files, directory="/etc", mode="0640", replace=True)

    def planner(spec: Spec, facts: Facts) -> Plan:
        answer = host.read(change.answer, 1 << 20)
        known = parse_fittings(answer.decode()) if answer is not None else None
        return plan_copy_in(spec, facts, change, wish, known)

    return Case(host=host, spec=wanted, planner=planner, off=("web",))


FAR = FileDisk(name=Label("far"), path="/data/vm/web.img", mount="/data", size=Size(GIB))


def growing(*, running: bool, agent: bool = True) -> Case:
    """Both disks of web grow, and its file as well."""
    host = a_host()
    host.mounts.add("/data")
    before = guest("web", data=GIB)
    before = replace(before, disks=(*before.disks, FAR))
    reach(host, spec(before))
    domain = host.libvirt.domains["web"]
    domain.agent = agent
    if not running:
        domain.end()
    disks = tuple(replace(disk, size=disk.size + disk.size) for disk in before.disks)
    wanted = spec(replace(before, disks=disks))
    return Case(host=host, spec=wanted, off=() if running else ("web",), grown=running and agent)


def growing_while_it_runs() -> Case:
    return growing(running=True)


def growing_without_its_agent() -> Case:
    return growing(running=True, agent=False)


def growing_while_it_is_off() -> Case:
    return growing(running=False)


def adding_disks(*, running: bool) -> Case:
    host = a_host()
    host.mounts.add("/data")
    before = guest("web", data=GIB)
    reach(host, spec(before))
    if not running:
        host.libvirt.domains["web"].end()
    logs = LvDisk(name=Label("logs"), lv="web-logs", size=Size(GIB), named=True)
    wanted = spec(replace(before, disks=(*before.disks, logs, FAR)))
    return Case(host=host, spec=wanted, off=() if running else ("web",))


def adding_disks_while_it_runs() -> Case:
    return adding_disks(running=True)


def adding_disks_while_it_is_off() -> Case:
    return adding_disks(running=False)


def taking_a_disk_away() -> Case:
    host = a_host()
    host.mounts.add("/data")
    one = guest("web", data=GIB)
    logs = LvDisk(name=Label("logs"), lv="vm-web-logs", size=Size(GIB))
    reach(host, spec(replace(one, disks=(*one.disks, logs, FAR))))
    host.libvirt.domains["web"].end()
    left = spec(replace(one, disks=(one.disks[0], logs)))
    return Case(host=host, spec=left, off=("web",), kept=("vm-web-data",))


def unplugging_a_disk() -> Case:
    """The spec drops two disks of a running guest, which uses one of them, and a file."""
    host, _ = running_with_two_disks()
    host.mounts.add("/data")
    one = guest("web", data=GIB)
    logs = LvDisk(name=Label("logs"), lv="vm-web-logs", size=Size(GIB))
    reach(host, spec(replace(one, disks=(*one.disks, logs, FAR))))
    host.libvirt.domains["web"].mounted["/srv"] = "vm-web-logs"
    left = spec(replace(one, disks=(one.disks[0],)))
    return Case(
        host=host,
        spec=left,
        kept=("vm-web-data", "vm-web-logs"),
        still=("/dev/rl_build/vm-web-logs",),
    )


def renaming() -> Case:
    return renaming_to("shop")


def renaming_to_a_name_that_begins_with_the_old_one() -> Case:
    return renaming_to("web-old")


def renaming_to(new: str) -> Case:
    """The spec's file is renamed last: until then the planner is given the old spec.

    libvirt finds the variables of its firmware by its name, unless they are named.
    """
    host = a_host()
    before, template = guest(data=GIB), BASE.replace("<os>", "<os firmware='efi'>")
    reach(host, spec(before, template=template))
    host.put(*OF_WEB, 0o600)
    host.libvirt.domains["web"].live = None
    folder = "/etc/kvmkeep/guests"
    host.put(f"{folder}/web.yaml", b"image: debian\n")
    disks = tuple(replace(d, lv=d.lv.replace("vm-web", f"vm-{new}")) for d in before.volumes)
    shop = replace(before, name=GuestName(new), disks=disks)
    after = spec(shop, template=template)
    names = Renaming(old=before.name, new=shop.name, file=f"{folder}/web.yaml", takes_identity=True)

    def planner(_: Spec, facts: Facts) -> Plan:
        renamed = f"{folder}/{new}.yaml" in host.files
        return plan_rename(after if renamed else spec(before, template=template), facts, names)

    return Case(host=host, spec=after, planner=planner, off=(shop.name,), variables=(OF_WEB,))


def cloning(*, running: bool, from_set: str = "") -> Case:
    """The spec's file is written once the disks are copied: until then the spec lacks the clone."""
    host, before = running_with_two_disks()
    (web,) = before.guests
    if from_set:
        reach(
            host,
            before,
            lambda s, f: plan_create(s, f, SnapshotRequest(guests=("web",), moment=MOMENT)),
        )
    if not running:
        host.libvirt.domains["web"].live = None
        host.lvm.volumes["vm-web-data"].active = False
    on_public = nic("copy", addresses=(ip_interface("10.223.0.99/24"),))
    copy = guest("copy", data=GIB, nics=(on_public,))
    file = "/etc/kvmkeep/guests/copy.yaml"
    wish = Cloning(
        source=web.name, clone=copy, file=file, content=b"image: debian\n",
        wanted=Wanted(moment=MOMENT, from_set=from_set),
    )  # fmt: skip

    def planner(spec: Spec, facts: Facts) -> Plan:
        return plan_clone(spec if file in host.files else before, facts, wish)

    return Case(
        host=host, spec=spec(copy, web), planner=planner, off=() if running else ("web",),
        sets=(from_set,) if from_set else (), sets_of=("web",),
    )  # fmt: skip


def cloning_a_running_guest() -> Case:
    return cloning(running=True)


def cloning_a_guest_that_is_off() -> Case:
    return cloning(running=False)


def cloning_a_set() -> Case:
    return cloning(running=True, from_set="20261123T0710Z")


STAMP = "20261123T0710Z"
FOLDER = "/etc/kvmkeep/guests"
TRASHED = tuple(
    f"trash-{STAMP}-{name}"
    for name in ("vm-web", "vm-web-data", f"vm-web-{STAMP}", f"vm-web-data-{STAMP}")
)

NVRAM = "/var/lib/libvirt/qemu/nvram/"
OF_DNS, OF_WEB = (f"{NVRAM}dns_VARS.fd", b"new variables"), (f"{NVRAM}web_VARS.fd", b"of web")


def with_snapshots() -> tuple[FakeHost, Spec, Spec, Planner]:
    """Return a host with web, its snapshots and a bystander; the spec with web and without.

    Both guests have UEFI.
    """
    host = a_host()
    both = spec(guest(data=GIB), guest("dns"), template=uefi())
    reach(host, both)
    host.put(*OF_WEB, 0o600)
    wish = SnapshotRequest(guests=("web",), moment=MOMENT)
    reach(host, both, lambda s, f: plan_create(s, f, wish))
    host.put(f"{FOLDER}/web.yaml", b"image: debian\n")
    host.put(console_log("web"), b"hello")
    without = replace(both, guests=both.guests[1:])

    def planner(_: Spec, facts: Facts) -> Plan:
        known = f"{FOLDER}/web.yaml" in host.files
        removing = Removing(guest="web", moment=MOMENT, file=f"{FOLDER}/web.yaml", limit=60)
        return plan_remove(both if known else without, facts, removing)

    return host, both, without, planner


def removing() -> Case:
    host, _, without, planner = with_snapshots()
    kept = (f"/var/lib/kvmkeep/trash/web-{STAMP}/nvram.fd", OF_WEB[1])
    return Case(
        host=host,
        spec=without,
        planner=planner,
        trash=TRASHED,
        variables=(OF_DNS,),
        brought=(kept,),
    )


def restoring() -> Case:
    host, both, without, planner = with_snapshots()
    reach(host, without, planner)
    wish = TrashRestoreRequest(name=f"web-{STAMP}", folder=FOLDER, guest=both.guests[0])

    def restores(_: Spec, facts: Facts) -> Plan:
        known = f"{FOLDER}/web.yaml" in host.files
        return plan_restore(both if known else without, facts, wish)

    return Case(
        host=host, spec=both, planner=restores, off=("web",), sets=(STAMP,), sets_of=("web",),
        variables=(OF_DNS, OF_WEB),
    )  # fmt: skip


def emptying() -> Case:
    host, _, without, planner = with_snapshots()
    reach(host, without, planner)
    names = (f"web-{STAMP}",)
    return Case(
        host=host, spec=without, planner=lambda s, f: plan_empty(s, f, names), variables=(OF_DNS,)
    )


def removing_a_disk() -> Case:
    """The spec has dropped the disk, and the guest does not have it any more."""
    host = a_host()
    reach(host, spec(guest(data=GIB)))
    domain = host.libvirt.domains["web"]
    for tree in (domain.xml, domain.live):
        devices = tree.find("devices")
        for disk in devices.findall("disk"):
            if disk.find("source") is not None and "data" in disk.find("source").get("dev", ""):
                devices.remove(disk)
    host.put("/root/kvm/web.xml", f"{xml_text(domain.xml)}\n".encode())
    wish = RemovingDisk(guest="web", disk="data", moment=MOMENT)
    return Case(
        host=host, spec=spec(guest()), planner=lambda s, f: plan_remove_disk(s, f, wish),
        trash=(f"trash-{STAMP}-vm-web-data",),
    )  # fmt: skip


def two_guests(**changes: object) -> tuple[FakeHost, Spec, tuple[str, ...]]:
    """Return a host with web, which needs db, and a bystander; and the names of the first two."""
    host = a_host()
    wanted = spec(guest("web", needs=(GuestName("db"),), **changes), guest("db"), guest("dns"))
    reach(host, wanted)
    return host, wanted, ("web", "db")


def rebooting() -> Case:
    host, wanted, names = two_guests(ready=ReadyConsole(pattern="first boot d.ne"))
    with_talking_guests(host)
    before = host.facts(wanted)
    return Case(
        host=host, spec=wanted, booted=names,
        planner=lambda s, f: plan_reboot(s, f, before, names, 60),
    )  # fmt: skip


def rebooting_cold() -> Case:
    host, wanted, names = two_guests()
    before = host.facts(wanted)
    return Case(
        host=host, spec=wanted, booted=names,
        planner=lambda s, f: plan_cold_reboot(s, f, before, names, 60),
    )  # fmt: skip


def suspending() -> Case:
    host, wanted, names = two_guests()
    planner = lambda s, f: plan_suspend(s, f, names)  # noqa: E731 - a value of the case
    return Case(host=host, spec=wanted, paused=names, planner=planner)


def resuming() -> Case:
    host, wanted, names = two_guests()
    host.libvirt.domains["web"].asleep = True
    host.libvirt.domains["db"].paused = True
    return Case(host=host, spec=wanted, planner=lambda s, f: plan_resume(s, f, names))


def powering_off() -> Case:
    host, wanted, names = two_guests()
    planner = lambda s, f: plan_poweroff(s, f, names)  # noqa: E731 - a value of the case
    return Case(host=host, spec=wanted, off=names, planner=planner)


def switching_autostart() -> Case:
    host, wanted, names = two_guests()
    for name in names:
        host.libvirt.domains[name].autostart = False
    return Case(host=host, spec=wanted, planner=lambda s, f: plan_autostart(s, f, names, on=True))


BY_HAND = """\
<domain type='kvm'><name>old</name><uuid>c0ffee00-0000-4000-8000-000000000002</uuid>
<title>Of the site</title><metadata><x:i xmlns:x='urn:x'>7</x:i></metadata>
<memory>2097152</memory><currentMemory>2097152</currentMemory><vcpu>2</vcpu>
<cpu mode='host-model'/><devices><disk type='block' device='disk'><driver name='qemu' type='raw'/>
<source dev='/dev/mapper/rl_build-web--root'/><target dev='vda' bus='virtio'/></disk>
<disk type='block' device='disk'><driver name='qemu' type='raw'/>
<source dev='/dev/rl_build/web-root-data'/><target dev='vdb' bus='virtio'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='/data/x.qcow2'/><target dev='vdc' bus='virtio'/></disk>
<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='sda' bus='sata'/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:0a'/><source bridge='br-guests'/></interface>
<channel><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<graphics type='vnc'/></devices></domain>"""
SPEC_DIR = "/etc/kvmkeep"


def by_hand() -> FakeHost:
    """Return a host with a guest and a network that somebody made by hand."""
    host = with_foreign_things(FakeHost())
    tree = ET.fromstring(BY_HAND)  # noqa: S314 - our own
    host.libvirt.domains["old"] = FakeDomain(tree, live=copy.deepcopy(tree), agent=True, run=1)
    for name, size in (("web-root", 4 * GIB), ("web-root-data", GIB)):
        host.lvm.add(name, size).overwrite(0, size)
    host.nm.links["br-guests"] = FakeLink(
        "br-guests", "bridge", ageing_time=0, stp=False, forward_delay=0
    )
    host.nm.links["uplink0.7"] = FakeLink(
        "uplink0.7", "vlan", master="br-guests", parent="uplink0", vlan_id=7
    )
    bridge = {
        "bridge.ageing-time": "0", "bridge.stp": "no", "bridge.forward-delay": "0",
        "connection.autoconnect-slaves": "-1 (default)", "ipv4.method": "disabled",
        "ipv6.method": "disabled",
    }  # fmt: skip
    port = {"connection.master": "b0", "vlan.parent": "uplink0", "vlan.id": "7"}
    host.nm.profiles["b0"] = FakeProfile("b0", "Guests", "bridge", "br-guests", bridge, "br-guests")
    host.nm.profiles["p0"] = FakeProfile("p0", "port 1", "vlan", "uplink0.7", port, "uplink0.7")
    host.put("/root/kvm/old.xml", b"<domain>by hand</domain>")
    return host


def taking_over() -> Case:
    """Without a spec: one is written. The foreign domain stays foreign."""
    host = by_hand()
    wish = AdoptRequest(guests=("old",))
    after = look_at(SPEC_DIR, host, host.facts, wish).spec
    planner = lambda s, f: look_at(SPEC_DIR, host, host.facts, wish).plan  # noqa: ARG005, E731
    return Case(host=host, spec=after, planner=planner)


def letting_go() -> Case:
    """All of it: the marks, the networks, the files of the spec."""
    host = by_hand()
    wish = AdoptRequest(guests=("old",))
    after = look_at(SPEC_DIR, host, host.facts, wish).spec
    reach(host, after, lambda s, f: look_at(SPEC_DIR, host, host.facts, wish).plan)  # noqa: ARG005
    file = f"{SPEC_DIR}/host.yaml"

    def planner(_: Spec, facts: Facts) -> Plan:
        there = file in host.files
        letting = Letting(guests=(), everything=True, host_file=file if there else "")
        return plan_release(load(SPEC_DIR, host) if there else None, facts, letting)

    return Case(host=host, spec=after, planner=planner, released=True)


PLANS = (
    first_guest, undefined_by_others, multihomed_with_data_disk, dhcp, openstack_only, complete_image, packed_image,
    remote_packed_image, remote_image_with_detached_signature, new_network_beside_one_in_use,
    changes_of_what_is_there, changing_a_bridge_in_use, another_bridge_for_guests_in_use, bridge_taken_down_by_others,
    changing_a_bridge_that_is_down, changing_a_running_guest, lost_domain_that_is_to_be_another_one,
    domain_and_its_seed_left_behind, starting, shutting_down, recovering,
    host_going_down, host_going_down_without_a_spec, looking_after_the_dead, installing_units, installing_units_for_backups,
    taking_away_units_for_backups, uninstalling_units,
    applying_with_units,
    snapshot_of_frozen_guest, snapshot_of_suspended_guest, snapshot_of_guest_that_is_off,
    deleting_a_set, deleting_expired_sets, extending_snapshots_that_fill,
    reverting_a_running_guest, reverting_disks_that_are_not_active,
    reverting_and_keeping_what_was, renaming,
    renaming_to_a_name_that_begins_with_the_old_one,
    proving_a_backup_after_a_killed_proof, looking_after_a_killed_proof, restoring_a_backup,
    restoring_a_disk_to_a_file, restoring_a_backup_as_a_new_guest, copying_out_of_a_backup,
    inspecting_a_running_guest, copying_out_of_a_running_guest, copying_out_of_a_guest_that_is_off,
    cloning_a_running_guest, cloning_a_guest_that_is_off, cloning_a_set,
    tweaking_a_guest, tweaking_addresses, tweaking_a_copy_of_an_image, copying_in,
    removing, restoring, emptying, removing_a_disk,
    beginning_a_backup, storing_a_backup, ending_a_backup,
    storing_a_backup_with_borg, forgetting_a_backup_of_borg,
    forgetting_backups, forgetting_one_backup, pruning_a_repository,
    growing_while_it_runs, growing_without_its_agent, growing_while_it_is_off,
    adding_disks_while_it_runs, adding_disks_while_it_is_off, taking_a_disk_away,
    unplugging_a_disk,
    rebooting, rebooting_cold, suspending, resuming, powering_off, switching_autostart,
    taking_over, letting_go,
)  # fmt: skip


def a_host(contents: Contents = CLOUD, size: int = 2 * GIB + 1536) -> FakeHost:
    host = with_foreign_things(FakeHost())
    host.add_image(IMAGE.source, FakeImage("raw", size, contents))
    return host


def with_foreign_things(host: FakeHost) -> FakeHost:
    """Put there what the host's owner made: LVs of the OS, a guest, a bridge, files."""
    for name, tags in (("root", ()), ("home", ("backup",)), ("vm-legacy", ())):
        host.lvm.add(name, 20 * GIB, *tags).holds = name.encode()
    tree = ET.fromstring(  # noqa: S314 - our own
        "<domain><name>legacy</name><uuid>c0ffee00-0000-4000-8000-000000000001</uuid>"
        "<memory>1048576</memory><vcpu>1</vcpu><devices><disk device='disk'><driver type='raw'/>"
        "<source dev='/dev/rl_build/vm-legacy'/><target dev='vda' bus='virtio'/></disk>"
        "<interface><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>"
        "</devices></domain>"
    )
    host.libvirt.domains["legacy"] = FakeDomain(tree, live=tree, autostart=True)
    host.nm.links["br0"] = FakeLink("br0", "bridge", ageing_time=300, stp=True, forward_delay=15)
    host.nm.links["uplink0.99"] = FakeLink(
        "uplink0.99", "vlan", master="br0", parent="uplink0", vlan_id=99
    )
    settings = {"connection.stable-id": "", "vlan.parent": "uplink0", "vlan.id": "99"}
    host.nm.profiles["c0ffee"] = FakeProfile(
        "c0ffee", "by hand", "vlan", "uplink0.99", settings, "uplink0.99"
    )
    host.put("/root/kvm/legacy.xml", b"<domain/>")
    host.put("/var/lib/kvmkeep/notes.txt", b"of the administrator")
    return host


def with_talking_guests(host: FakeHost) -> None:
    """Have each guest write to its console whenever it starts."""
    boots = host.libvirt.boots

    def talking(domain: FakeDomain) -> str:
        host.put(console_log(domain.name), b"first boot done")
        return boots(domain)

    host.libvirt.boots = talking


def ours(host: FakeHost) -> list:
    return [volume for volume in host.lvm.volumes.values() if "kvmkeep" in volume.tags]


def foreign(host: FakeHost) -> str:
    """Return all that is not ours, as text that can be compared."""
    legacy = host.libvirt.domains["legacy"]
    return repr(
        (
            [host.lvm.volumes[name] for name in ("root", "home", "vm-legacy")],
            tree_text(legacy.xml), legacy.live is legacy.xml, legacy.autostart,
            [host.nm.links[name] for name in ("br0", "uplink0.99", "uplink0", "mgmt0")],
            host.nm.profiles["c0ffee"],
            [host.files[path] for path in ("/root/kvm/legacy.xml", "/var/lib/kvmkeep/notes.txt")],
        )
    )  # fmt: skip


def as_it_was_made(host: FakeHost, domain: FakeDomain) -> None:
    """Demand that of a guest that others made nothing has changed but our marks."""
    assert (domain.run, domain.boots) == (1, 0)
    for tree in (domain.xml, domain.live):
        bare = copy.deepcopy(tree)
        metadata = bare.find("metadata")
        for mark in metadata.findall("{urn:kvmkeep:guest:1}guest"):
            metadata.remove(mark)
        assert ET.tostring(bare) == ET.tostring(ET.fromstring(BY_HAND))  # noqa: S314 - our own
    for name in ("web-root", "web-root-data"):
        assert host.lvm.volumes[name].holds == b""
    assert host.files["/root/kvm/old.by-hand.xml"].content == b"<domain>by hand</domain>"


def nothing_is_ours(host: FakeHost) -> None:
    """Demand that no mark is left, and no file of the spec in its place."""
    assert ours(host) == []
    assert not [one.name for one in host.libvirt.domains.values() if one.ours]
    marks = [one.settings.get("connection.stable-id") for one in host.nm.profiles.values()]
    assert "kvmkeep" not in marks
    assert {path for path in host.files if path.startswith(SPEC_DIR)} == {
        f"{SPEC_DIR}/host.yaml.released", f"{SPEC_DIR}/guests/old.yaml.released",
    }  # fmt: skip


def disks_are_as_wanted(host: FakeHost, case: Case, one: Guest, domain: FakeDomain) -> None:
    """Demand that a guest has just the disks of the spec, and what they are to hold."""
    names = [
        source.get("dev") or source.get("file", "")
        for source in domain.xml.findall("devices/disk/source")
    ]
    paths = [disk_path("rl_build", disk) for disk in one.disks]
    assert sorted(names) == sorted(paths)
    if domain.live is not None:
        assert sorted((*names, *case.still)) == sorted(
            source.get("dev") or source.get("file", "")
            for source in domain.live.findall("devices/disk/source")
        )
    for disk in one.volumes:
        volume = host.lvm.volumes[disk.lv]
        assert volume.size == -(-disk.size.bytes // EXTENT) * EXTENT
        assert volume.used == volume.size or not case.grown
    for disk in one.files:
        assert host.files[disk.path].size == disk.size.bytes
        assert host.files[disk.path].used == disk.size.bytes or not case.grown
    root = host.lvm.volumes[one.root.lv]
    assert root.holds in host.images
    if host.images[root.holds].contents.cloud_init:
        assert root.instance == one.uuid


def units_are(host: FakeHost, case: Case) -> None:
    """Demand that just the units that are wanted are there, and at work."""
    units = {path for path in host.files if path.startswith("/etc/systemd/")}
    backups = any(one.backup is not None for one in case.spec.guests)
    assert len(units) == ((22 if backups else 13) if case.by_units else 0), units
    # The unit that shuts guests down is never stopped: it would do so.
    working = {*LISTENERS, *(TIMERS if backups else (TIMER,))}
    assert host.systemd.running - {GUESTS} == (working if case.by_units else set())


def stored_objects(host: FakeHost) -> dict[str, dict[str, bytes]] | None:
    """Return the files of all objects in the repository; None where there is none."""
    borg = host.borg.repositories.get(VAULT.url)
    if borg is not None:
        assert SOMEBODYS in borg.archives
        return {
            name: {f"/{path}": content for path, content in files.items()}
            for name, files in borg.archives.items()
        }
    if not host.restic.repositories:
        return None
    return {one.id: one.files for one in host.restic.listed(VAULT.url)}


def fragments(host: FakeHost, case: Case) -> frozenset[str]:
    """Return the moments of what lies in the repository and never became a backup."""
    if stored_objects(host) is None:
        return frozenset()
    (vault,) = host.facts(case.spec).backups.repositories
    return frozenset(one.moment for one in vault.fragments)


def backups_are(host: FakeHost, case: Case) -> None:
    """Demand that the repository holds those backups, whole, and nothing of others."""
    stored = stored_objects(host)
    if stored is None:
        return
    facts = host.facts(case.spec).backups
    (vault,) = facts.repositories
    assert tuple(f"{one.guest}@{one.moment}" for one in vault.entries) == case.backups
    for entry in vault.entries:
        commit = stored[entry.manifest]
        manifest = json.loads(commit[f"{entry.path}/manifest.json"])
        assert {"domain.xml", "guest.yaml", "host.yaml", "root.blocks", "data.blocks"} <= {
            path.rpartition("/")[2] for path in commit
        }
        for disk in manifest["disks"]:
            (content,) = stored[disk["object"]].values()
            lv = disk["source"].rpartition("/")[2]
            assert content == host.lvm.volumes[lv].holds
    if case.backups:
        assert fragments(host, case) <= case.remains
    assert not facts.staged or case.sets


def in_service(host: FakeHost, case: Case) -> None:
    """Demand the goal, told by the host and not by the planner."""
    for volume in ours(host):
        assert volume.stale == [], f"{volume.name} shows what was there before"
        assert not [tag for tag in volume.tags if "state" in tag], volume.tags
    if case.released:
        nothing_is_ours(host)
    lvs = {disk.lv for one in case.spec.guests for disk in one.volumes if not case.released}
    backups_are(host, case)
    with_sets = [one for one in case.spec.guests if not case.sets_of or one.name in case.sets_of]
    sets = {f"{d.lv}-{name}" for one in with_sets for d in one.volumes for name in case.sets}
    assert {volume.name for volume in ours(host)} == lvs | sets | {*case.trash, *case.kept}
    trashed = {v.name for v in ours(host) if [t for t in v.tags if "trash" in t or "was" in t]}
    assert trashed == {*case.trash}
    kept = any(name.endswith("-vm-web") for name in case.trash) and not case.restored
    assert kept is any("/trash/" in path for path in host.files)
    for volume in ours(host):
        assert not [tag for tag in volume.tags if "held" in tag or "start" in tag], volume.tags
    assert host.systemd.timers == {}, "a guard was left"
    nothing_lies_about(host)
    assert [(path, host.read(path)) for path, _ in case.brought] == [*case.brought]
    variables = {path: host.read(path) for path in host.files if path.startswith(NVRAM)}
    assert variables == dict(case.variables)
    assert host.nm._saved == {}, "a checkpoint was left open"
    proofs_are_over(host, case)
    undo = [path for path in host.files if "network-undo" in path]
    assert undo == [], "an undo was left"
    assert host.libvirt.domains.keys() == {"legacy", *(one.name for one in case.spec.guests)}
    for one in case.spec.guests:
        domain = host.libvirt.domains[one.name]
        assert domain.uuid == one.uuid
        assert domain.autostart is (one.run.autostart and not case.by_units)
        mark = domain.xml.find("metadata/{urn:kvmkeep:run:1}run")
        by_units = mark is not None and mark.get("starts") == "yes"
        assert by_units is (one.run.autostart and case.by_units)
        state = "shut off" if one.name in case.off else "running"
        assert domain.state == ("paused" if one.name in case.paused else state), one.name
        assert not domain.frozen, one.name
        as_defined(case.spec, one, domain.xml)
        kept = host.files[f"{case.spec.xml_dir}/{one.name}.xml"].content
        assert kept.decode() == f"{xml_text(domain.xml)}\n", one.name
        assert domain.boots > 1 or one.name not in case.booted
        on_their_bridges(host, domain)
        if case.addresses:
            has_inside(host, domain, case.addresses)
        if one.adopted:
            as_it_was_made(host, domain)
        else:
            disks_are_as_wanted(host, case, one, domain)
    units_are(host, case)
    for wanted in case.spec.networks:
        bridge = host.nm.links[wanted.bridge]
        assert (bridge.kind, bridge.ageing_time, bridge.stp) == (
            "bridge", wanted.ageing_time, wanted.stp,
        )  # fmt: skip
        assert host.nm.links[wanted.vlan_interface].master == wanted.bridge


def nothing_lies_about(host: FakeHost) -> None:
    """Demand that there is nothing of what a run needs only while it runs."""
    words = (".part", "/seed/", "/.kvmkeep", f"{COPY_DIR}/", f"{FETCH_DIR}/")
    assert [path for path in (*host.files, *host.mounts) if any(one in path for one in words)] == []


def proofs_are_over(host: FakeHost, case: Case) -> None:
    """Demand that nothing is left of a proof but its verdict."""
    left = of_proofs(host)
    assert left == [], left
    assert any(b'"proven":true' in file.content for file in host.files.values()) is case.proven


def on_their_bridges(host: FakeHost, domain: FakeDomain) -> None:
    """Demand that each tap device of a running guest is a port of its NIC's bridge."""
    for one in domain.live.findall("devices/interface") if domain.live is not None else ():
        tap = one.find("target")
        if tap is not None and tap.get("dev") in host.nm.links:
            assert host.nm.links[tap.get("dev")].master == one.find("source").get("bridge")


def has_inside(host: FakeHost, domain: FakeDomain, address: str) -> None:
    """Demand that a guest's disk sets an address up, and that its domain remembers just that."""
    mark = "{urn:kvmkeep:guest:1}"
    nics = domain.xml.findall(f"metadata/{mark}guest/{mark}nic")
    assert [nic.get("addresses") for nic in nics] == [address]
    tree = host.lvm.volumes["vm-web"].tree
    folder = "/etc/NetworkManager/system-connections"
    assert address in tree.text(f"{folder}/kvmkeep0.nmconnection")


def as_defined(spec: Spec, one: Guest, xml: ET.Element) -> None:
    """Demand that a definition has the NICs, memory and CPUs of the spec."""
    bridges = {network.name: network.bridge for network in spec.networks}
    nics = {
        nic.find("mac").get("address"): nic.find("source").get("bridge")
        for nic in xml.iterfind("devices/interface")
    }
    assert nics == {nic.mac: bridges[nic.network] for nic in one.nics}
    sizes = [int(xml.findtext(name, "")) for name in ("currentMemory", "memory")]
    assert sizes == [one.memory.kib, one.memory_max.kib]
    vcpu = xml.find("vcpu")
    assert vcpu is not None
    assert (vcpu.get("current", vcpu.text), vcpu.text) == (str(one.vcpus), str(one.vcpus_max))
