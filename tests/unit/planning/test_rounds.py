"""Whole plans on the fake host: the goal is reached, once, whatever interrupts the way there."""

from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage, digest_of
from fakes.lvm import FakeVolume
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.image_facts import Contents
from kvmkeep.model.names import STATE_FILLING, STATE_FRESH
from kvmkeep.model.run import ReadyConsole, ReadyDelay, ReadyTcp
from kvmkeep.model.spec import Algorithm, Checksum, ChecksumList, FirstBoot, Guest, Packing, Spec
from kvmkeep.model.units import GuestName, Label, Size
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, network, nic, spec
from tests.unit.planning.rounds import StepError, reach

TINY = replace(CLOUD, cloud_init=False, agent=True)
OPENSTACK = replace(CLOUD, datasources=("OpenStack",))
URL = "https://images.example.org/debian.raw.zst"


def a_host(contents: Contents = CLOUD, size: int = 2 * GIB + 1536) -> FakeHost:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", size, contents))
    return host


def a_remote_host() -> tuple[FakeHost, Spec]:
    """A host that must fetch its image, check it against a signed list, and unpack it."""
    host = FakeHost()
    plain = host.add_image("/tmp/plain", FakeImage("raw", 2 * GIB, CLOUD))
    packed = b"zst:" + plain
    host.web[URL] = packed
    sums = f"{digest_of(packed)}  debian.raw.zst\n".encode()
    host.web[f"{URL}.sums"] = b"signed:" + sums
    host.lists[sums] = f"sha256:{digest_of(packed)}"
    image = replace(
        IMAGE,
        source=URL,
        packing=Packing.ZSTD,
        check=ChecksumList(source=f"{URL}.sums", signature="inline", keyring="/etc/k.gpg"),
    )
    return host, spec(guest(), images=(image,))


def in_service(host: FakeHost) -> None:
    """What holds of each guest in the end, told by the host and not by the planner."""
    for volume in host.lvm.volumes.values():
        assert volume.stale == [], f"{volume.name} shows what was there before"
        assert not {STATE_FILLING, STATE_FRESH} & volume.tags
    seeds = [path for path in host.files if "/seed/" in path]
    assert seeds == []
    for domain in host.libvirt.domains.values():
        assert not [s for s in domain.xml.iter("source") if s.get("file")]


def test_new_guest_ends_in_service_and_nothing_is_left_to_do() -> None:
    host = a_host()
    wanted = spec(guest(data=GIB))
    reach(host, wanted)
    in_service(host)
    assert host.libvirt.domains["web"].state == "running"
    assert host.libvirt.domains["web"].autostart
    assert sorted(host.lvm.volumes) == ["vm-web", "vm-web-data"]
    assert host.lvm.volumes["vm-web"].instance == wanted.guests[0].uuid
    assert make_plan(wanted, host.facts(wanted)).empty


def test_remote_packed_image_with_signed_list_is_brought_in_rounds() -> None:
    host, wanted = a_remote_host()
    done = reach(host, wanted)
    in_service(host)
    images = [step.what.partition(" ")[0] for step in done if step.noun == "images"]
    assert images == ["get", "fetch", "check", "unpack", "look"]


def test_bad_download_never_gets_its_name() -> None:
    host, wanted = a_remote_host()
    host.web[URL] += b"flipped"
    for _ in range(2):
        with pytest.raises(StepError, match="grep"):
            reach(host, wanted)
        assert not [path for path in host.files if path.endswith(".fetched")]
    assert host.lvm.volumes == {}


def test_bad_signature_stops_before_the_image_is_fetched() -> None:
    host, wanted = a_remote_host()
    host.web[f"{URL}.sums"] = b"forged"
    with pytest.raises(StepError, match="gpgv"):
        reach(host, wanted)
    assert not [path for path in host.files if path.endswith((".sums", ".fetched"))]


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("mark", [b"expired:", b"revoked:"])
def test_list_signed_by_a_key_that_no_longer_counts_is_not_believed(
    mark: bytes, *, inline: bool
) -> None:
    host, wanted = a_remote_host()
    signed = host.web[f"{URL}.sums"]
    if inline:
        host.web[f"{URL}.sums"] = mark + signed.removeprefix(b"signed:")
    else:
        host.web[f"{URL}.sums"] = signed.removeprefix(b"signed:")
        host.web[f"{URL}.sig"] = mark
        check = ChecksumList(source=f"{URL}.sums", signature=f"{URL}.sig", keyring="/etc/k.gpg")
        wanted = spec(guest(), images=(replace(wanted.images[0], check=check),))
    with pytest.raises(StepError, match="GOODSIG"):
        reach(host, wanted)
    assert not [path for path in host.files if path.endswith((".sums", ".fetched"))]


def test_list_signed_by_an_old_and_a_new_key_is_believed() -> None:
    host, wanted = a_remote_host()
    host.web[f"{URL}.sums"] = b"expired+" + host.web[f"{URL}.sums"]
    reach(host, wanted)
    in_service(host)


def test_local_file_with_wrong_checksum_is_not_used() -> None:
    host = a_host()
    image = replace(IMAGE, check=Checksum(algorithm=Algorithm.SHA256, digest="0" * 64))
    with pytest.raises(StepError, match="sha256sum"):
        reach(host, spec(guest(), images=(image,)))
    assert host.lvm.volumes == {}


def test_image_that_knows_only_openstack_is_told_of_the_seed() -> None:
    host = a_host(OPENSTACK)
    wanted = spec(guest())
    reach(host, wanted)
    in_service(host)
    root = host.lvm.volumes["vm-web"]
    assert "datasource_list: [ConfigDrive, NoCloud, None]" in root.drop_in
    assert root.instance == wanted.guests[0].uuid


@pytest.mark.parametrize("kind", [FirstBoot.CONFIG_DRIVE, FirstBoot.NOCLOUD])
def test_image_without_cloud_init_is_not_waited_for(kind: FirstBoot) -> None:
    host = a_host(TINY)
    reach(host, spec(guest(first_boot=kind)))
    in_service(host)


def test_complete_image_gets_no_seed_and_is_not_looked_into() -> None:
    host = a_host(TINY)
    done = reach(host, spec(guest(first_boot=FirstBoot.NONE)))
    in_service(host)
    assert not {"xorriso", "guestfish"} & {call.argv[0] for call in host.calls}
    assert not [step for step in done if step.noun == "images"]


@pytest.mark.parametrize(
    "ready", [ReadyTcp(port=22), ReadyConsole(pattern="first boot [d]one"), ReadyDelay(seconds=7)]
)
def test_each_way_of_being_ready(ready: object) -> None:
    host = a_host()
    reach(host, spec(guest(ready=ready)))
    in_service(host)


def test_guest_that_stays_silent_stops_the_run_and_the_next_run_goes_on() -> None:
    host = a_host()
    wanted = spec(guest())
    host.libvirt.silent_agents.add("web")
    with pytest.raises(StepError, match="to answer through its agent"):
        reach(host, wanted)
    assert STATE_FRESH in host.lvm.volumes["vm-web"].tags
    host.libvirt.silent_agents.clear()
    done = reach(host, wanted)
    assert "wait until its first boot is done" in done[0].what
    in_service(host)


def test_guests_come_after_those_that_they_need() -> None:
    host = a_host()
    wanted = spec(guest("a", needs=(GuestName("z"),)), guest("m"), guest("z"))
    reach(host, wanted)
    started = [c.argv[-1] for c in host.calls if c.argv[:2] == ("virsh", "start")]
    assert started == ["z", "a", "m"]


def test_only_touches_the_named_guests_and_their_networks() -> None:
    host = a_host()
    networks = (network(), network("internal", 2368))
    wanted = spec(guest("a"), guest("b", nics=(nic("b", on="internal"),)), networks=networks)
    reach(host, wanted, lambda s, f: make_plan(s, f, ("b",)))
    assert list(host.libvirt.domains) == ["b"]
    assert list(host.lvm.volumes) == ["vm-b"]
    assert "virbr1.2368" in host.nm.links
    assert "virbr1.223" not in host.nm.links


def test_domain_removed_by_mistake_comes_back_with_its_disk_untouched() -> None:
    host = a_host()
    wanted = spec(guest())
    reach(host, wanted)
    before = replace_holds(host.lvm.volumes["vm-web"])
    del host.libvirt.domains["web"]
    done = reach(host, wanted)
    assert [step.what for step in done] == [
        "define guest web from /root/kvm/web.xml",
        "have it start with the host",
        "keep its definition in /root/kvm/web.xml",
    ]
    assert replace_holds(host.lvm.volumes["vm-web"]) == before
    assert host.libvirt.domains["web"].state == "shut off"


def replace_holds(volume: FakeVolume) -> tuple[bytes, str, frozenset[str]]:
    return volume.holds, volume.instance, frozenset(volume.tags)


class DyingDoor:
    """A door behind which the run dies at its n-th use: before the effect, or right after it."""

    def __init__(self, host: FakeHost, dies_at: int, *, after: bool) -> None:
        self.host, self.left, self.after = host, dies_at, after

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        self.count(before=True)
        result = self.host.run(command, watch)
        self.count(before=False)
        return result

    def write(self, file: WriteFile) -> None:
        self.count(before=True)
        self.host.write(file)
        self.count(before=False)

    def count(self, *, before: bool) -> None:
        if before:
            self.left -= 1
        if self.left == 0 and before != self.after:
            raise KeyboardInterrupt

    def __getattr__(self, name: str) -> object:
        return getattr(self.host, name)


def test_killed_anywhere_the_next_run_reaches_the_goal() -> None:
    for make in (lambda: (a_host(OPENSTACK), spec(guest(data=GIB))), a_remote_host):
        number = 0
        died = True
        while died:
            number += 1
            for after in (False, True):
                host, wanted = make()
                foreign = host.lvm.add("home", 8 * GIB)
                died = False
                try:
                    reach(host, wanted, door=DyingDoor(host, number, after=after))
                except KeyboardInterrupt:
                    died = True
                host.sleep(600)  # NetworkManager undoes what nobody kept
                reach(host, wanted)
                del host.lvm.volumes["home"]
                assert foreign.stale == [(0, 8 * GIB)]
                in_service(host)
                assert host.lvm.volumes["vm-web"].instance == wanted.guests[0].uuid
        assert number > 30


names = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=4, unique=True)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    chosen = draw(names)
    guests: list[Guest] = []
    for position, name in enumerate(chosen):
        needs = draw(st.lists(st.sampled_from(chosen), max_size=2, unique=True))
        guests.append(
            guest(
                name,
                data=draw(st.sampled_from([0, 1, GIB, GIB + 4096])),
                nics=(nic(name, on=draw(st.sampled_from(["public", "internal"]))),),
                vcpus=draw(st.integers(1, 8)),
                memory=Size(draw(st.integers(1, 4)) * GIB),
                autostart=draw(st.booleans()),
                first_boot=draw(st.sampled_from([*FirstBoot])),
                needs=tuple(GuestName(need) for need in needs if chosen.index(need) < position),
                image=Label(draw(st.sampled_from(["debian", "other"]))),
            )
        )
    other = replace(IMAGE, name=Label("other"), source="/srv/other.raw")
    networks = (network(), network("internal", 2368, stp=draw(st.booleans())))
    return spec(*guests, networks=networks, images=(IMAGE, other))


@settings(max_examples=60, deadline=None)
@given(specs())
def test_any_spec_is_reached_without_touching_what_is_not_ours(wanted: Spec) -> None:
    host = a_host()
    host.add_image("/srv/other.raw", FakeImage("raw", GIB, OPENSTACK))
    host.lvm.add("root", 50 * GIB)
    host.lvm.add("home", 50 * GIB, "backup")
    facts = host.facts(wanted)
    plan = make_plan(wanted, facts)
    assert plan == make_plan(wanted, facts)
    reach(host, wanted)
    started = [c.argv[-1] for c in host.calls if c.argv[:2] == ("virsh", "start")]
    for one in wanted.guests:
        assert all(started.index(need) < started.index(one.name) for need in one.run.needs)
    for command in host.calls:
        words = " ".join(command.argv)
        assert "canary" not in words
        assert "rl_build/home" not in words
        assert "rl_build/root" not in words
        assert "mgmt0" not in words.replace("-I mgmt0", "")
        assert command.argv[0] != "lvremove"
        if command.argv[0] == "qemu-img":
            assert "-f" in command.argv
    assert [host.lvm.volumes.pop(name).stale for name in ("root", "home")] == [[(0, 50 * GIB)]] * 2
    in_service(host)
