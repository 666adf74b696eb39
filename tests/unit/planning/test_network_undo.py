"""What undoes a change of the network when nobody is left to do it."""

from __future__ import annotations

import pytest
from fakes.host import FakeHost
from fakes.nm import FakeProfile
from msgspec.structs import replace

from kvmkeep.model.command import Checkpoint, Command, Undo, WriteFile
from kvmkeep.model.names import UNDO_BOOT, UNDO_DIR, UNDO_FILE, UNDO_LINK, UNDO_UNIT
from kvmkeep.model.network_facts import Undoing
from kvmkeep.model.spec import Spec
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.units.quoting import unit_word
from tests.unit.planning.build import network, spec
from tests.unit.planning.rounds import carry_out, reach

BRIDGE, PORT = "virbr1.223", "uplink0.223"


def made() -> tuple[FakeHost, Spec]:
    host, one = FakeHost(), spec(networks=(network(),))
    reach(host, one)
    return host, one


def change_of(host: FakeHost, wanted: Spec) -> Checkpoint:
    (step,) = make_plan(wanted, host.facts(wanted)).steps
    (change,) = step.actions
    assert isinstance(change, Checkpoint)
    return change


def undone_by(undo: Undo) -> list[str]:
    """The commands of the unit."""
    file = next(one for one in undo.arm if isinstance(one, WriteFile) and one.path == UNDO_FILE)
    lines = file.content.decode().splitlines()
    return [line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart=")]


def this_boot(line: str) -> str:
    """A line that does nothing once the host has booted."""
    return f'sh -c "test ! -e {UNDO_BOOT} || exec {line}"'


def down(uuid: str) -> str:
    """A line that takes down what may be down, in the boot of the change."""
    nmcli = f"nmcli --wait 20 connection down uuid {uuid}"
    return f'sh -c "test ! -e {UNDO_BOOT} || {nmcli} || test $$? = 10"'


def load(file: str) -> str:
    """A line that has NetworkManager read a file, which it does not name then."""
    told = f"told=$$(nmcli --wait 20 connection load {file} 2>&1); code=$$?"
    named = f"case $$told in *{file}*) exit 1; esac"
    return f'sh -c "{told}; echo \\"$$told\\"; {named}; exit $$code"'


def as_bridge(was: str) -> str:
    """A line that has a bridge be as its profile says, unless the kernel says the same as before.

    It does nothing in another boot that has not made the interface.
    """
    at = f"/sys/class/net/{BRIDGE}"
    gone = f"test ! -e {UNDO_BOOT} && test ! -e {at}"
    names = ("bridge/ageing_time", "bridge/stp_state", "bridge/forward_delay", "mtu")
    told = f"paste -d ' ' {' '.join(f'{at}/{name}' for name in names)}"
    reapply = f"nmcli --wait 20 device reapply {BRIDGE}"
    return f'sh -c "{gone} || {reapply} || test \\"$$({told})\\" = \\"{was}\\""'


def as_vlan(uuid: str) -> str:
    """What a unit has done to a port that may have become another VLAN."""
    line = "^uplink0\\\\.223 *[|] 223 *[|] uplink0$$"
    asks = f"grep --quiet --extended-regexp -e '{line}' /proc/net/vlan/config"
    nmcli = "nmcli --wait 20 connection"
    return f"{{ {asks} || {nmcli} down uuid {uuid}; exec {nmcli} up uuid {uuid}; }}"


def uuid_of(host: FakeHost, interface: str) -> str:
    return next(one.uuid for one in host.nm.profiles.values() if one.interface == interface)


def test_new_profiles_are_deleted_and_their_devices_must_be_gone() -> None:
    lines = undone_by(change_of(FakeHost(), spec()).undo)
    delete_port, delete_bridge, no_bridge, no_port, *rest = lines
    for line in (delete_port, delete_bridge):
        assert line.startswith('sh -c "nmcli --wait 20 connection delete uuid ')
        assert line.endswith(' || test $$? = 10"'), "it may be gone; any other end is a failure"
    assert no_bridge == f'test "!" -e /sys/class/net/{BRIDGE}'.replace('"!"', "!")
    assert no_port == f"test ! -e /sys/class/net/{PORT}"
    assert rest == [
        "-systemctl stop kvmkeep-network-undo.timer",
        f"rm --force -- {UNDO_FILE} {UNDO_FILE}.part {UNDO_LINK}",
        "sync -- /etc/systemd/system",
        f"rm --recursive --force -- {UNDO_DIR} {UNDO_BOOT}",
    ], "the copies go once the mark is gone for good: they may be on another filesystem"


def test_a_changed_profile_is_kept_before_and_put_back_to_the_byte() -> None:
    host, _ = made()
    uuid = uuid_of(host, BRIDGE)
    file = f"/etc/NetworkManager/system-connections/{BRIDGE}.nmconnection"
    undo = change_of(host, spec(networks=(network(ageing_time=300),))).undo
    told = [str(action) for action in undo.arm if isinstance(action, Command)]
    assert told[:3] == [
        f"mkdir --parents --mode=0755 {UNDO_DIR}",
        f"cp --archive -- {file} {UNDO_DIR}/{uuid}",
        f"sync -- {UNDO_DIR}/{uuid} {UNDO_DIR}",
    ]
    kinds = [type(action) for action in undo.arm]
    assert kinds[3] is WriteFile, "the unit is the mark: it comes after what it needs"
    assert undone_by(undo)[:4] == [
        f"cp --archive -- {UNDO_DIR}/{uuid} {file}",
        load(file),
        as_bridge("0 1 1500 1500"),
        f"sync -- {file}",
    ]
    assert str(undo.run) == f"systemctl start {UNDO_UNIT}"


def test_a_port_is_activated_again_and_what_was_down_is_taken_down() -> None:
    host, _ = made()
    port = uuid_of(host, PORT)
    moved = replace(network(), vlan=224, bridge=BRIDGE, vlan_interface=PORT)
    lines = undone_by(change_of(host, spec(networks=(moved,))).undo)
    gone = f"test ! -e {UNDO_BOOT} && test ! -e /sys/class/net/{PORT}"
    assert f'sh -c "{gone} || {as_vlan(port)}"' in lines
    host.nm.profiles[port].device = ""
    lines = undone_by(change_of(host, spec()).undo)
    assert lines[0] == down(port)
    assert not [line for line in lines if "/sys/class/net" in line], "the kernel had it before"
    del host.nm.links[PORT]
    assert this_boot(f"test '!' -e /sys/class/net/{PORT}") in undone_by(
        change_of(host, spec()).undo
    )


def test_what_is_changed_and_was_down_goes_down_but_another_boot_has_it_be_as_it_says() -> None:
    host, _ = made()
    bridge, port = uuid_of(host, BRIDGE), uuid_of(host, PORT)
    for uuid in (port, bridge):
        host.run(Command(argv=("nmcli", "connection", "down", "uuid", uuid), why=""))
    moved = replace(network(ageing_time=300), vlan=224, bridge=BRIDGE, vlan_interface=PORT)
    undo = change_of(host, spec(networks=(moved,))).undo
    lines = undone_by(undo)
    assert lines[:2] == [down(uuid) for uuid in (port, bridge)]
    idle = f"test -e {UNDO_BOOT} || test ! -e /sys/class/net"
    assert lines[6:10] == [
        f'-sh -c "{idle}/{BRIDGE} || exec nmcli --wait 20 device reapply {BRIDGE}"',
        f'-sh -c "{idle}/{PORT} || {as_vlan(port)}"',
        this_boot(f"test '!' -e /sys/class/net/{BRIDGE}"),
        this_boot(f"test '!' -e /sys/class/net/{PORT}"),
    ]
    written = [action.path for action in undo.arm if isinstance(action, WriteFile)]
    assert written == [UNDO_BOOT, UNDO_FILE], "the unit is the mark"


def test_a_vlan_that_was_never_activated_is_not_activated_by_an_undo() -> None:
    """Somebody changed the profile alone: the kernel had what the spec says, and keeps it."""
    host, wanted = made()
    port = uuid_of(host, PORT)
    other = ("nmcli", "connection", "modify", "uuid", port, "vlan.id", "224")
    assert host.run(Command(argv=other, why="")).ok
    change = change_of(host, wanted)
    assert [str(one) for one in change.body if "connection down" in str(one)] == []
    assert [line for line in undone_by(change.undo) if "connection up" in line] == []
    for action in change.undo.arm:
        assert host.write(action) is None if isinstance(action, WriteFile) else host.run(action).ok
    for command in change.body:
        assert host.run(command).ok
    assert host.run(change.undo.run).ok
    assert host.nm.links[PORT].vlan_id == 223
    assert host.nm.profiles[port].settings["vlan.id"] == "224"


@pytest.mark.parametrize("done", range(4))
def test_another_vlan_is_undone_however_far_it_came(done: int) -> None:
    host, _ = made()
    moved = replace(network(), vlan=224, bridge=BRIDGE, vlan_interface=PORT)
    change = change_of(host, spec(networks=(moved,)))
    for action in change.undo.arm:
        assert host.write(action) is None if isinstance(action, WriteFile) else host.run(action).ok
    for command in change.body[:done]:
        assert host.run(command).ok
    assert host.run(change.undo.run).ok
    link = host.nm.links[PORT]
    assert (link.vlan_id, link.master) == (223, BRIDGE)


def test_the_timer_comes_after_networkmanagers_own_rollback() -> None:
    change = change_of(FakeHost(), spec(networks=(network(stp=False),)))
    assert (change.timeout, change.undo.after) == (45, 60)
    with_stp = change_of(FakeHost(), spec())
    assert with_stp.undo.after == with_stp.timeout + 15 > 60


@pytest.mark.parametrize("timer", [True, False])
def test_a_change_that_was_left_armed_is_undone_before_anything_else(timer: bool) -> None:  # noqa: FBT001 - parametrized
    host, before = made()
    wanted = spec(networks=(network(ageing_time=300),))
    change = change_of(host, wanted)
    for action in change.undo.arm:
        if isinstance(action, WriteFile):
            host.write(action)
        elif timer or action.argv[0] != "systemd-run":
            assert host.run(action).ok
    for command in change.body:
        assert host.run(command).ok
    assert host.facts(wanted).nm.undoing is Undoing.ARMED
    undo, look = make_plan(wanted, host.facts(wanted)).steps
    assert undo.what == "undo the unfinished change"
    assert (look.actions, bool(look.assumes)) == ((), True)
    undo, again = make_plan(before, host.facts(before)).steps
    assert again.assumes, "what is changed back is not decided before it is seen"
    reach(host, wanted)
    assert host.nm.links[BRIDGE].ageing_time == 300
    assert host.facts(wanted).nm.undoing is Undoing.NOTHING


def test_a_file_that_networkmanager_does_not_read_fails_the_undo() -> None:
    """It ends with 0 then, and says so in the host's language, with the file's name."""
    host, _ = made()
    change = change_of(host, spec(networks=(network(ageing_time=300),)))
    for action in change.undo.arm:
        assert host.write(action) is None if isinstance(action, WriteFile) else host.run(action).ok
    host.nm.unreadable.add(f"/etc/NetworkManager/system-connections/{BRIDGE}.nmconnection")
    assert not host.run(change.undo.run).ok
    host.nm.unreadable.clear()
    assert host.run(change.undo.run).ok


def pending(changes: dict[str, object], bridge: dict[str, object]) -> tuple[FakeHost, Checkpoint]:
    """An armed change of a bridge whose profile holds what can't be reapplied."""
    host, one = FakeHost(), spec(networks=(network(**changes),))
    reach(host, one)
    for key, value in bridge.items():
        setattr(host.nm.links[BRIDGE], key, value)
    change = change_of(host, spec(networks=(network(ageing_time=300, stp=False),)))
    for action in change.undo.arm:
        assert host.write(action) is None if isinstance(action, WriteFile) else host.run(action).ok
    return host, change


@pytest.mark.parametrize(
    ("changes", "bridge"),
    [
        ({}, {}),
        ({"stp": False}, {"forward_delay": 4}),
        ({}, {"ageing_time": 30, "topology_change": True}),
        ({}, {"ageing_time": 7}),
    ],
)
def test_a_reapply_that_is_refused_stands_in_no_undos_way(
    changes: dict[str, object], bridge: dict[str, object]
) -> None:
    host, change = pending(changes, bridge)
    old = {path: file.content for path, file in host.files.items() if path.endswith("connection")}
    host.nm.edited.add(BRIDGE)
    modify, reapply = change.body
    assert host.run(modify).ok
    refused = host.run(reapply)
    assert not refused.ok
    (meaning,) = reapply.meanings
    assert meaning.words in refused.tail
    assert "nmcli connection up" in meaning.sentence
    if "topology_change" in bridge:
        host.nm.links[BRIDGE].ageing_time = 0
    assert host.run(change.undo.run).ok
    assert UNDO_FILE not in host.files
    assert old == {path: host.files[path].content for path in old}


def test_a_reapply_that_is_refused_and_needed_fails_the_undo() -> None:
    host, change = pending({}, {})
    for command in change.body:
        assert host.run(command).ok
    host.nm.edited.add(BRIDGE)
    assert not host.run(change.undo.run).ok
    host.nm.edited.clear()
    assert host.run(change.undo.run).ok
    assert host.nm.links[BRIDGE].ageing_time == 0


def test_an_undo_that_a_timer_did_after_the_look_is_no_failure() -> None:
    host, before = made()
    change = change_of(host, spec(networks=(network(ageing_time=300),)))
    for action in change.undo.arm:
        assert host.write(action) is None if isinstance(action, WriteFile) else host.run(action).ok
    undo, _ = make_plan(before, host.facts(before)).steps
    host.sleep(change.undo.after)
    assert UNDO_FILE not in host.files
    carry_out(host, undo)
    assert host.facts(before).nm.undoing is Undoing.NOTHING


@pytest.mark.parametrize("booted", [True, False])
@pytest.mark.parametrize("gone", [(), (PORT,), (BRIDGE, PORT)])
def test_what_another_boot_has_not_made_is_not_waited_for(
    gone: tuple[str, ...], *, booted: bool
) -> None:
    """A power cut, and then a dead NIC under the VLANs: no run may fail for that."""
    host, _ = made()
    moved = replace(network(ageing_time=300), vlan=224, bridge=BRIDGE, vlan_interface=PORT)
    undo = change_of(host, spec(networks=(moved,))).undo
    for action in undo.arm:
        if isinstance(action, WriteFile):
            host.write(action)
        else:
            assert host.run(action).ok
    for path in [path for path in host.files if path.startswith("/run/")]:
        if booted:
            del host.files[path]
    for profile in host.nm.profiles.values():
        if profile.interface in gone:
            profile.device = ""
            del host.nm.links[profile.interface]
    if gone:
        del host.nm.links["uplink0"]
    assert host.run(undo.run).ok == (booted or not gone)


def test_an_activation_is_not_undone_after_the_boot_that_has_made_it_good() -> None:
    host, wanted = made()
    for interface in (BRIDGE, PORT):
        host.run(
            Command(argv=("nmcli", "connection", "down", "uuid", uuid_of(host, interface)), why="")
        )
    change = change_of(host, wanted)
    for action in change.undo.arm:
        if isinstance(action, WriteFile):
            host.write(action)
        else:
            assert host.run(action).ok
    for command in change.body:
        assert host.run(command).ok
    for path in [path for path in host.files if path.startswith("/run/")]:
        del host.files[path]
    host.calls.clear()
    assert host.facts(wanted).nm.undoing is Undoing.ARMED
    reach(host, wanted)
    assert host.facts(wanted).nm.undoing is Undoing.NOTHING
    again = [call for call in host.calls if "connection up" in str(call)]
    assert again == [], "nothing was taken down"


def test_what_is_left_of_an_undo_is_removed() -> None:
    for path in (UNDO_LINK, UNDO_BOOT, f"{UNDO_DIR}/c0ffee"):
        host, one = made()
        host.put(path, b"")
        assert host.facts(one).nm.undoing is Undoing.LEFT
        (step,) = make_plan(one, host.facts(one)).steps
        assert step.what == "remove what is left of an undo"
        reach(host, one)
        assert path not in host.files


def test_an_undo_that_has_lost_what_it_puts_back_is_removed_and_not_run() -> None:
    """Its mark came back with the power, the copies did not: on another filesystem, or by hand."""
    host, _ = made()
    wanted = spec(networks=(network(ageing_time=300),))
    change = change_of(host, wanted)
    for action in (*change.undo.arm, *change.body):
        if isinstance(action, WriteFile):
            host.write(action)
        else:
            assert host.run(action).ok
    host.run(Command(argv=("rm", "--recursive", "--force", "--", UNDO_DIR), why=""))
    assert host.facts(wanted).nm.undoing is Undoing.LEFT
    (step,) = make_plan(wanted, host.facts(wanted)).steps
    assert step.what == "remove what is left of an undo"
    reach(host, wanted)
    assert host.nm.links[BRIDGE].ageing_time == 300, "the change was kept"
    assert host.facts(wanted).nm.undoing is Undoing.NOTHING
    assert UNDO_FILE not in host.files


def test_words_of_a_unit() -> None:
    assert unit_word("/etc/a-b.nmconnection") == "/etc/a-b.nmconnection"
    assert unit_word("Wired 100% $x") == '"Wired 100%% $$x"'
    assert unit_word('a"b\\') == '"a\\"b\\\\"'
    assert unit_word("") == '""'


def test_a_profile_of_others_is_put_back_under_its_own_name() -> None:
    host = FakeHost()
    wanted = spec(networks=(network(),))
    reach(host, wanted)
    profile: FakeProfile = host.nm.profiles[uuid_of(host, BRIDGE)]
    host.files.pop(profile.path)
    profile.name = "Guests 1"
    lines = undone_by(change_of(host, spec(networks=(network(ageing_time=7),))).undo)
    assert lines[0].endswith('"/etc/NetworkManager/system-connections/Guests 1.nmconnection"')
