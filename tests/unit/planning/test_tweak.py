"""Changes of a disk from outside, carried out on a guest's tree in memory."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest
from fakes.files import anybodys, roots_own
from fakes.guestfish import FakeTree, debian
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.domain_facts import GivenNic
from kvmkeep.model.facts import Facts
from kvmkeep.model.fittings import LARGEST, Fittings, parse_fittings
from kvmkeep.model.plan import Noun, Plan, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.model.tweak import NewFile, Password, SshKeys, Tweak
from kvmkeep.model.units import Mac
from kvmkeep.planning.domains.metadata import mark_commands, settings_of
from kvmkeep.planning.offline.rewriting import OfflineChange
from kvmkeep.planning.offline.tweak import plan_tweak, sentences
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import IMAGE, nic, spec
from tests.unit.planning.looked_into import site
from tests.unit.planning.rounds import carry_out, reach

STAMP = "20261123T071034Z"
CHANGE = OfflineChange(name="web", asked=STAMP)
COPY = OfflineChange(
    name="debian", asked=STAMP, output="/srv/out/new.raw", way=roots_own("/srv/out")
)
HASH = "$6$salt$" + "x" * 86
KEY = "ssh-ed25519 AAAAC3Nz me@desk"
OLD = f"/var/lib/kvmkeep-old/{STAMP}"
ALL = Tweak(
    passwords=(Password(user="root", hash=HASH),),
    ssh_keys=(SshKeys(user="admin", keys=(KEY,)),),
    sudo=("admin",),
    hostname="web.example.org",
    serial_console=True,
    nics=(nic("web"),),
    cloud_init=False,
    datasources=("NoCloud", "None"),
    files=(NewFile(path="/etc/motd", content=b'say "hi"\n$HOME\\\n', mode=0o600, owner="admin"),),
    commands=("echo done > /root/mark",),
)


class Off:
    """A host with a guest that is off, and what is changed of it."""

    def __init__(self, tree: FakeTree | None = None) -> None:
        self.host, self.wanted = site(running=False)
        self.host.lvm.volumes["vm-web"].tree = tree or debian()

    @property
    def tree(self) -> FakeTree:
        return self.host.lvm.volumes["vm-web"].tree

    def known(self, change: OfflineChange) -> Fittings | None:
        answer = self.host.read(change.answer)
        return parse_fittings(answer.decode()) if answer is not None else None

    def plan(self, tweak: Tweak, change: OfflineChange = CHANGE) -> Plan:
        return planned(self, self.wanted, self.host.facts(self.wanted), tweak, change)

    def tweak(self, tweak: Tweak, change: OfflineChange = CHANGE) -> list[str]:
        """Change it; return what was done."""
        steps = reach(self.host, self.wanted, lambda s, f: planned(self, s, f, tweak, change))
        return [step.what for step in steps]

    def refusals(self, tweak: Tweak, change: OfflineChange = CHANGE) -> list[str]:
        """Look until it is clear that it is refused, and why."""
        for _ in range(5):
            plan = self.plan(tweak, change)
            if plan.refusals:
                assert all(one.hint for one in plan.refusals)
                return [one.reason for one in plan.refusals]
            assert all(step.looks for step in plan.certain), "it was not refused"
            carry_out(self.host, plan.certain[0])
        raise AssertionError


def planned(off: Off, spec: Spec, facts: Facts, tweak: Tweak, change: OfflineChange) -> Plan:
    there = off.host.names("/srv/out")
    return plan_tweak(spec, facts, replace(change, there=there), tweak, off.known(change))


def test_all_at_once_and_then_there_is_nothing_left() -> None:
    off = Off()
    done = off.tweak(ALL)
    look, change, *remembered = done
    assert look == "look into its disk vm-web"
    assert change.startswith("change its disk vm-web: set the password of root; have 1 SSH key")
    assert remembered == [
        "remember what it is called inside", "keep its definition in /root/kvm/web.xml",
    ]  # fmt: skip
    tree = off.tree
    assert tree.text("/etc/shadow").splitlines()[0] == f"root:{HASH}:20000:0:99999:7:::"
    assert (tree.inodes["/etc/shadow"].mode, tree.inodes["/etc/shadow"].gid) == (0o640, 42)
    assert tree.text("/home/admin/.ssh/authorized_keys") == KEY + "\n"
    keys = tree.inodes["/home/admin/.ssh/authorized_keys"]
    assert (keys.mode, keys.uid, keys.gid) == (0o600, 1000, 1000)
    assert tree.inodes["/home/admin/.ssh"].mode == 0o700
    assert tree.text("/etc/sudoers.d/kvmkeep-admin") == "admin ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert tree.inodes["/etc/sudoers.d/kvmkeep-admin"].mode == 0o440
    assert tree.text("/etc/hostname") == "web.example.org\n"
    assert "127.0.1.1\tweb.example.org web\n" in tree.text("/etc/hosts")
    assert tree.text("/boot/grub/grub.cfg").endswith("quiet console=tty0 console=ttyS0,115200n8\n")
    getty = tree.inodes["/etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service"]
    assert getty.content == b"/usr/lib/systemd/system/serial-getty@.service"
    connections = tree.below("/etc/NetworkManager/system-connections")[1:]
    assert [one.rpartition("/")[2] for one in connections] == ["kvmkeep0.nmconnection"]
    assert (
        f"{OLD}/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection" in tree.inodes
    )
    folder = "/etc/cloud/cloud.cfg.d"
    assert tree.text(f"{folder}/99-zz-kvmkeep-network.cfg") == "network: {config: disabled}\n"
    assert tree.text(f"{folder}/99-zz-kvmkeep-hostname.cfg") == "preserve_hostname: true\n"
    assert tree.text(f"{folder}/99-zz-kvmkeep.cfg") == "datasource_list: [NoCloud, None]\n"
    assert "/etc/cloud/cloud-init.disabled" in tree.inodes
    motd = tree.inodes["/etc/motd"]
    assert (motd.content, motd.mode, motd.uid) == (b'say "hi"\n$HOME\\\n', 0o600, 1000)
    assert tree.ran == ["echo done > /root/mark"]
    assert tree.text(f"{OLD}/etc/hostname") == "old\n"
    assert tree.inodes["/var/lib/kvmkeep-old"].mode == 0o700
    assert not [path for path in tree.inodes if path.endswith(".kvmkeep-new")]
    assert f"kvmkeep.tweak={STAMP}" in off.host.lvm.volumes["vm-web"].tags
    assert CHANGE.answer not in off.host.files
    assert off.plan(ALL) == Plan()


def test_another_run_changes_only_what_is_not_yet_so() -> None:
    off = Off()
    wish = replace(ALL, passwords=(), commands=())
    off.tweak(wish)
    later = replace(CHANGE, asked="20261123T081034Z")
    assert all(what.startswith("look") for what in off.tweak(wish, later))
    off.tweak(ALL, later)
    tags = off.host.lvm.volumes["vm-web"].tags
    assert [tag for tag in tags if "tweak" in tag] == ["kvmkeep.tweak=20261123T081034Z"]


def test_what_is_secret_is_never_in_a_command_line_and_is_said_to_be_one() -> None:
    off = Off()
    off.tweak(ALL)
    edit = next(call for call in off.host.calls if b"write" in call.stdin)
    assert edit.secret_stdin
    assert not [call for call in off.host.calls if HASH in " ".join(call.argv)]
    assert HASH not in repr(ALL)


def test_nobody_is_asked_before_a_look_and_the_change_is_only_assumed() -> None:
    look, edit, *_ = Off().plan(ALL).steps
    assert (look.looks, look.assumes) == (True, "")
    assert edit.assumes == "its disk is fitted for that"
    assert not edit.looks


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("127.0.0.1\tlocalhost\n", "127.0.0.1\tlocalhost\n127.0.1.1\tshop\n"),
        ("192.0.2.7 shop\n", "192.0.2.7 shop\n"),
        ("127.0.1.1 old\n::1 x", "127.0.1.1\tshop\n::1 x"),
    ],
)
def test_the_name_is_found_without_a_name_server(before: str, after: str) -> None:
    off = Off()
    off.tree.put("/etc/hosts", before)
    off.tweak(Tweak(hostname="shop"))
    assert off.tree.text("/etc/hosts") == after


def test_what_is_no_utf8_stays_as_it_is_around_what_is_changed() -> None:
    off = Off()
    odd = b"# caf\xe9\n"
    for path in (
        "/etc/hosts", "/etc/shadow", "/etc/sudoers", "/etc/default/grub", "/boot/grub/grub.cfg",
        "/boot/loader/entries/a.conf", "/root/.ssh/authorized_keys",
    ):  # fmt: skip
        off.tree.put(path, off.tree.text(path) if path in off.tree.inodes else "options x\n")
        off.tree.inodes[path].content += odd
    wish = replace(ALL, ssh_keys=(SshKeys(user="root", keys=(KEY,)),), commands=())
    off.tweak(wish)
    told = {
        "/etc/hosts": b"127.0.0.1\tlocalhost\n127.0.1.1\tweb.example.org web\n" + odd,
        "/etc/shadow": f"root:{HASH}:20000:0:99999:7:::\nadmin:!:20000:0:99999:7:::\n".encode()
        + odd,
        "/boot/loader/entries/a.conf": b"options x console=tty0 console=ttyS0,115200n8\n" + odd,
        "/root/.ssh/authorized_keys": f"{KEY}\noptions x\n".encode() + odd,
    }
    assert {path: off.tree.inodes[path].content for path in told} == told
    for path in ("/etc/default/grub", "/boot/grub/grub.cfg"):
        content = off.tree.inodes[path].content
        assert odd in content, path
        assert b"console=ttyS0" in content, path
    later = replace(CHANGE, asked="20261123T081034Z")
    assert all(what.startswith("look") for what in off.tweak(wish, later))


def test_a_new_key_comes_before_the_same_one_with_a_forced_command() -> None:
    off = Off()
    path = "/root/.ssh/authorized_keys"
    off.tree.put(path, f'command="echo no" {KEY}\nssh-rsa BBBB other', 0o644)
    off.tree.make("/root/.ssh", 0o700)
    off.tweak(Tweak(ssh_keys=(SshKeys(user="root", keys=(KEY, "ssh-rsa BBBB again")),)))
    assert off.tree.text(path) == f'{KEY}\ncommand="echo no" {KEY}\nssh-rsa BBBB other'
    assert off.tree.inodes[path].mode == 0o644


def test_boot_loader_entries_and_the_sources_of_new_ones_are_changed_as_well() -> None:
    off = Off()
    tree = off.tree
    tree.put("/boot/grub/grub.cfg", "blscfg\nif [ -f custom.cfg ]; then\n")
    tree.put("/boot/loader/entries/abc-5.14.conf", "title x\noptions root=UUID=1 $tuned_params\n")
    tree.put("/boot/loader/entries/notes", "options x\n")
    tree.put("/etc/default/grub", 'GRUB_TIMEOUT=1\nGRUB_CMDLINE_LINUX="quiet console=tty1"\n')
    tree.put("/etc/kernel/cmdline", "root=UUID=1 ro\n")
    off.tweak(Tweak(serial_console=True))
    consoles = "console=tty0 console=ttyS0,115200n8"
    entry = tree.text("/boot/loader/entries/abc-5.14.conf")
    assert entry == f"title x\noptions root=UUID=1 $tuned_params {consoles}\n"
    assert tree.text("/boot/loader/entries/notes") == "options x\n"
    assert f'GRUB_CMDLINE_LINUX="quiet {consoles}"\n' in tree.text("/etc/default/grub")
    assert tree.text("/etc/kernel/cmdline") == f"root=UUID=1 ro {consoles}\n"
    assert "terminal_output console serial" in tree.text("/boot/grub/custom.cfg")


def test_a_guest_without_systemd_and_one_without_a_known_boot_loader() -> None:
    off = Off()
    del off.tree.inodes["/usr/lib/systemd/system/serial-getty@.service"]
    plans: list[Plan] = []

    def planner(spec: Spec, facts: Facts) -> Plan:
        plans.append(planned(off, spec, facts, Tweak(serial_console=True), CHANGE))
        return plans[-1]

    reach(off.host, off.wanted, planner)
    assert [note for plan in plans for note in plan.notes if "no systemd" in note.text]
    off = Off()
    off.tree.inodes["/boot/grub/grub.cfg"].content = b"\xff"
    assert "no configuration of a boot loader" in off.refusals(Tweak(serial_console=True))[0]


def test_one_look_is_enough_where_grub_reads_a_file_of_the_sites() -> None:
    off = Off()
    off.tree.put("/boot/grub/grub.cfg", "linux /vmlinuz\nif [ -f $prefix/custom.cfg ]; then\n")
    off.tree.put("/etc/default/grub", "GRUB_TIMEOUT=5\n")
    assert [what.partition(" ")[0] for what in off.tweak(ALL)[:3]] == ["look", "change", "remember"]
    assert "serial" in off.tree.text("/boot/grub/custom.cfg")


def test_an_interface_that_is_not_named_any_more_takes_its_profile_with_it() -> None:
    off = Off()
    first = replace(nic("web"), mac=Mac("52:54:00:aa:bb:01"))
    off.tweak(Tweak(nics=(first, nic("web"))))
    later = replace(CHANGE, asked="20261123T081034Z")
    off.tweak(Tweak(nics=(nic("web"),)), later)
    folder = "/etc/NetworkManager/system-connections"
    assert off.tree.below(folder)[1:] == [f"{folder}/kvmkeep0.nmconnection"]
    assert nic("web").mac.upper() in off.tree.text(f"{folder}/kvmkeep0.nmconnection")


@pytest.mark.parametrize("dns", [True, False])
def test_network_manager_cares_for_name_servers_where_cloud_init_has_kept_it_off(
    *, dns: bool
) -> None:
    off, file = Off(), "/etc/NetworkManager/conf.d/99-cloud-init.conf"
    off.tree.put(file, "[main]\ndns = none\n")
    off.tweak(Tweak(nics=(nic("web") if dns else replace(nic("web"), dns=()),)))
    # Without name servers of its own, those that cloud-init wrote are all that it has.
    assert (file in off.tree.inodes) is not dns
    assert (f"{OLD}{file}" in off.tree.inodes) is dns


@pytest.mark.parametrize("renderer", ["netplan", "networkd"])
@pytest.mark.parametrize("resolved", [True, False])
def test_networkd_alone_leaves_name_servers_to_others(renderer: str, *, resolved: bool) -> None:
    off = Off()
    del off.tree.inodes["/usr/sbin/NetworkManager"]
    if renderer == "netplan":
        off.tree.put("/usr/sbin/netplan")
    unit = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
    off.tree.put(unit)
    if resolved:
        off.tree.put("/usr/lib/systemd/systemd-resolved")
    (server,) = nic("web").dns
    off.tweak(Tweak(nics=(nic("web"),)))
    assert ("/etc/resolv.conf" in off.tree.inodes) is not resolved
    if not resolved:
        assert f"nameserver {server}\n" in off.tree.text("/etc/resolv.conf")


@pytest.mark.parametrize("resolvconf", [True, False])
def test_ifupdown_gets_its_one_file_and_name_servers(*, resolvconf: bool) -> None:
    off = Off()
    del off.tree.inodes["/usr/sbin/NetworkManager"]
    off.tree.put("/etc/network/interfaces", "source interfaces.d/*\n")
    if resolvconf:
        off.tree.put("/sbin/resolvconf")
    off.tweak(Tweak(nics=(nic("web"),)))
    assert "iface kvmkeep0 inet static" in off.tree.text("/etc/network/interfaces")
    assert off.tree.text(f"{OLD}/etc/network/interfaces") == "source interfaces.d/*\n"
    assert ("/etc/resolv.conf" in off.tree.inodes) is not resolvconf


def test_without_cloud_init_nothing_is_written_for_it() -> None:
    off = Off()
    del off.tree.inodes["/usr/bin/cloud-init"]
    off.tweak(Tweak(hostname="new"))
    assert off.tree.text("/etc/hostname") == "new\n"
    assert off.tree.below("/etc/cloud/cloud.cfg.d")[1:] == []


def test_cloud_init_is_switched_on_again() -> None:
    off = Off()
    off.tree.put("/etc/cloud/cloud-init.disabled")
    off.tweak(Tweak(cloud_init=True))
    assert "/etc/cloud/cloud-init.disabled" not in off.tree.inodes
    later = replace(CHANGE, asked="20261123T081034Z")
    assert off.tweak(Tweak(cloud_init=True), later) == ["look into its disk vm-web"]


@pytest.mark.parametrize("keys", [True, False])
def test_an_sshd_without_keys_is_told_of_where_nobody_will_make_them(*, keys: bool) -> None:
    off = Off()
    off.tree.put("/etc/ssh/sshd_config")
    if keys:
        off.tree.put("/etc/ssh/ssh_host_ed25519_key")
    carry_out(off.host, off.plan(Tweak(cloud_init=False)).certain[0])
    notes = [note.text for note in off.plan(Tweak(cloud_init=False)).notes]
    assert [text for text in notes if "ssh-keygen -A" in text] == notes
    assert bool(notes) is not keys


def label(kind: str) -> str:
    return f"system_u:object_r:{kind}_t:s0-s15:c0.c1023"


def selinux(mode: str = "enforcing", *, relabels: bool = True) -> FakeTree:
    """Return a guest in which each thing has a label, with a type after its path."""
    tree = debian()
    tree.put("/usr/sbin/load_policy")
    tree.put("/etc/selinux/config", f"SELINUX={mode}\nSELINUXTYPE=targeted\n")
    tree.put("/etc/selinux/targeted/contexts/files/file_contexts")
    tree.make("/var/lib")
    for path, inode in tree.inodes.items():
        inode.label = label(path.strip("/").replace("/", "_"))
    tree.relabels = relabels
    return tree


KEYS = Tweak(hostname="new", ssh_keys=(SshKeys(user="admin", keys=(KEY,)),))


def test_the_policys_own_reader_labels_what_is_new_where_libguestfs_has_it() -> None:
    off = Off(selinux())
    done = [what.partition(" ")[0] for what in off.tweak(KEYS)]
    assert done == ["look", "change", "remember", "keep"], "one look is enough"
    for path in ("/etc/hostname", "/home/admin/.ssh", "/home/admin/.ssh/authorized_keys"):
        assert off.tree.inodes[path].label == "right", path
    assert off.tree.inodes[f"{OLD}/etc/hostname"].label == label("etc_hostname")
    assert "/.autorelabel" not in off.tree.inodes


def test_without_it_what_is_new_has_the_label_of_what_it_replaces_or_of_its_directory() -> None:
    off = Off(selinux(relabels=False))
    deep = NewFile(path="/srv/a/b/page", content=b"x")
    off.tweak(replace(KEYS, files=(deep,), serial_console=True))
    wants = "/etc/systemd/system/getty.target.wants"
    for path, kind in {
        "/etc/hostname": "etc_hostname", f"{OLD}/etc/hostname": "etc_hostname",
        "/var/lib/kvmkeep-old": "var_lib", OLD: "var_lib", f"{OLD}/etc": "var_lib",
        "/home/admin/.ssh": "ssh_home", "/home/admin/.ssh/authorized_keys": "ssh_home",
        "/srv/a": "", "/srv/a/b": "", "/srv/a/b/page": "",
        wants: "etc", f"{wants}/serial-getty@ttyS0.service": "etc",
    }.items():  # fmt: skip
        assert off.tree.inodes[path].label == label(kind), path
    assert "/.autorelabel" not in off.tree.inodes


def test_a_file_is_labelled_before_it_gets_its_name() -> None:
    off = Off(selinux(relabels=False))
    carry_out(off.host, off.plan(Tweak(hostname="new")).certain[0])
    script = off.plan(Tweak(hostname="new")).certain[0].actions[-3].stdin.decode()  # type: ignore[union-attr]
    lines = script.splitlines()
    named = next(
        n for n, line in enumerate(lines) if line.endswith('"/etc/hostname"') and "mv" in line
    )
    assert any(line.startswith("lsetxattr") for line in lines[named - 3 : named])


def test_what_somebody_has_left_without_a_label_gets_one() -> None:
    off = Off(selinux(relabels=False))
    off.tree.put("/etc/hostname", "new\n")
    off.tree.put("/etc/hosts", "127.0.1.1\tnew\n")
    wish = Tweak(hostname="new")
    off.tweak(wish)
    assert off.tree.inodes["/etc/hostname"].label == label("etc")
    later = replace(CHANGE, asked="20261123T081034Z")
    assert off.tweak(wish, later) == ["look into its disk vm-web"]


def test_a_hosts_file_that_can_not_be_changed_is_told() -> None:
    wish = Tweak(hostname="new.example.org")

    def notes(off: Off) -> list[str]:
        carry_out(off.host, off.plan(wish).certain[0])
        told = [note.text for note in off.plan(wish).notes]
        off.tweak(wish)
        assert off.tree.text("/etc/hostname") == "new.example.org\n"
        return [text for text in told if text.startswith("/etc/hosts")]

    linked, large, missing, plain = Off(), Off(), Off(), Off()
    linked.tree.do_ln_sf("/srv/hosts", "/etc/hosts")
    large.tree.put("/etc/hosts", "#" * (LARGEST + 1))
    missing.tree.inodes.pop("/etc/hosts", None)
    plain.tree.put("/etc/hosts", "127.0.1.1\told\n")
    up_to_you = "and stays: 127.0.1.1 may need new.example.org new"
    assert notes(linked) == [f"/etc/hosts in it is no plain file, {up_to_you}"]
    assert notes(large) == [f"/etc/hosts in it is larger than 256 KiB, {up_to_you}"]
    assert notes(plain) == notes(missing) == []


@pytest.mark.parametrize("wish", [Tweak(files=(NewFile(path="/srv/x", content=b""),)), KEYS])
def test_it_is_told_how_the_policy_is_asked_of_new_files(wish: Tweak) -> None:
    for relabels in (True, False):
        off = Off(selinux(relabels=relabels))
        carry_out(off.host, off.plan(wish).certain[0])
        notes = [note.text for note in off.plan(wish).notes if "restorecon" in note.text]
        new = "/srv" if wish.files else "/home/admin/.ssh"
        assert [new in text.rpartition(": ")[2].split() for text in notes] == [True] * (
            not relabels
        )


def test_of_what_is_replaced_the_policy_need_not_be_asked() -> None:
    off = Off(selinux(relabels=False))
    wish = Tweak(passwords=(Password(user="root", hash=HASH),))
    carry_out(off.host, off.plan(wish).certain[0])
    assert not [note for note in off.plan(wish).notes if "SELinux" in note.text]
    off.tweak(wish)
    assert off.tree.inodes["/etc/shadow"].label == label("etc_shadow")


def test_what_a_command_writes_nobody_knows_so_all_is_labelled() -> None:
    off = Off(selinux())
    wish = Tweak(commands=("true",))
    off.tweak(wish)
    assert off.tree.inodes["/etc/hosts"].label == "right"
    assert "/.autorelabel" not in off.tree.inodes
    off = Off(selinux(relabels=False))
    carry_out(off.host, off.plan(wish).certain[0])
    assert any("next boot" in note.text for note in off.plan(wish).notes)
    off.tweak(wish)
    assert "/.autorelabel" in off.tree.inodes


@pytest.mark.parametrize("gone", ["/etc/selinux/targeted/contexts/files/file_contexts", ""])
def test_where_there_is_no_policy_nothing_is_labelled_by_it(gone: str) -> None:
    off = Off(selinux() if gone else selinux("disabled"))
    off.tree.inodes.pop(gone, None)
    off.tweak(Tweak(hostname="new", commands=("true",)))
    assert off.tree.inodes["/etc/hostname"].label == label("etc_hostname")
    assert "/.autorelabel" not in off.tree.inodes


def test_a_policy_with_a_strange_name_is_taken_for_the_usual_one() -> None:
    off = Off(selinux())
    off.tree.put("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=../../x y\n")
    off.tweak(Tweak(hostname="new"))
    assert off.tree.inodes["/etc/hostname"].label == "right"


FILE = NewFile(path="/etc/hostname", content=b"x")


@pytest.mark.parametrize(
    ("wish", "gone", "reason"),
    [
        (Tweak(passwords=(Password(user="bob", hash=HASH),)), "", "no user bob"),
        (Tweak(ssh_keys=(SshKeys(user="bob", keys=(KEY,)),)), "", "no user bob"),
        (Tweak(sudo=("bob",)), "", "no user bob"),
        (Tweak(passwords=(Password(user="root", hash=HASH),)), "/etc/shadow", "has no user root"),
        (Tweak(ssh_keys=(SshKeys(user="home", keys=(KEY,)),)), "", "home has no home"),
        (Tweak(ssh_keys=(SshKeys(user="admin", keys=(KEY,)),)), "/home/admin", "has no home"),
        (Tweak(sudo=("admin",)), "/etc/sudoers", "no sudo in it reads"),
        (Tweak(nics=(nic("web"),)), "/usr/sbin/NetworkManager", "is not known"),
        (Tweak(cloud_init=False), "/usr/bin/cloud-init", "cloud-init is not installed"),
        (Tweak(datasources=("None",)), "/usr/bin/cloud-init", "cloud-init is not installed"),
        (Tweak(files=(FILE,)), "", "/etc/hostname is there already"),
        (Tweak(files=(replace(FILE, path="/etc"),), replace=True), "", "/etc in it is a directory"),
        (Tweak(files=(replace(FILE, path="/x", owner="bob"),)), "", "no user bob"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_refused_before_anything_is_changed(
    wish: Tweak, gone: str, reason: str
) -> None:
    off = Off()
    if gone:
        del off.tree.inodes[gone]
    before = repr(off.tree)
    assert reason in " ".join(off.refusals(wish))
    assert repr(off.tree) == before


def test_files_that_are_not_what_they_seem_are_refused() -> None:
    off = Off()
    keys = Tweak(ssh_keys=(SshKeys(user="admin", keys=(KEY,)),))
    off.tree.put("/home/admin/.ssh/authorized_keys", "x" * 300_000)
    assert "too large" in off.refusals(keys)[0]
    off.tree.put("/home/admin/.ssh")
    assert "no directory" in Off(off.tree).refusals(keys)[0]
    off.tree.inodes["/etc/hostname"].kind = "link"
    assert "a link or something special" in Off(off.tree).refusals(Tweak(hostname="x"))[0]


def test_a_file_is_replaced_when_that_is_wanted_and_left_when_it_is_the_same() -> None:
    off = Off()
    off.tweak(Tweak(files=(FILE,), replace=True))
    assert off.tree.text("/etc/hostname") == "x"
    assert off.tree.text(f"{OLD}/etc/hostname") == "old\n"
    later = replace(CHANGE, asked="20261123T081034Z")
    assert off.tweak(Tweak(files=(FILE,)), later) == ["look into its disk vm-web"]


def test_names_that_a_guest_made_up_do_no_harm() -> None:
    off = Off()
    folder = "/etc/NetworkManager/system-connections"
    off.tree.put(f"{folder}/cloud-init '$(reboot)'.nmconnection")
    off.tree.put("/etc/passwd", "root:x:0:0::/root:/bin/sh\n;reboot:x:1000:1000::/`x`:/bin/sh\n")
    off.tweak(Tweak(nics=(nic("web"),)))
    assert f"{folder}/cloud-init '$(reboot)'.nmconnection" in off.tree.inodes


def test_a_guest_that_runs_or_is_half_reverted_is_refused() -> None:
    off = Off()
    off.host.lvm.volumes["vm-web"].tags.add("kvmkeep.revert=20261122T0000Z")
    assert "its revert to 20261122T0000Z is not done" in off.refusals(ALL)[0]
    host, wanted = site()
    plan = plan_tweak(wanted, host.facts(wanted), CHANGE, ALL, None)
    assert "is not off" in plan.refusals[0].reason


def test_an_image_stays_as_it_is_and_a_copy_is_changed() -> None:
    off = Off()
    host = off.host
    before = host.files[IMAGE.source]
    done = off.tweak(ALL, COPY)
    assert done[-1].startswith("write a copy of it to /srv/out/new.raw, and change that: set")
    assert host.files[IMAGE.source] == before
    assert IMAGE.source not in host.trees or "/etc/motd" not in host.trees[IMAGE.source].inodes
    assert host.trees["/srv/out/new.raw"].text("/etc/hostname") == "web.example.org\n"
    assert host.names("/srv/out") == ("new.raw",)
    assert off.plan(ALL, COPY) == Plan()
    host.put("/srv/out/new.raw.part", b"left")
    (step,) = off.plan(ALL, COPY).steps
    assert step.what == "remove /srv/out/new.raw.part"


def test_an_image_that_is_already_as_it_is_to_be_is_copied_all_the_same() -> None:
    off = Off()
    tree = debian()
    tree.put("/etc/hostname", "web\n")
    tree.put("/etc/hosts", "127.0.1.1\tweb\n")
    tree.put("/etc/cloud/cloud.cfg.d/99-zz-kvmkeep-hostname.cfg", "preserve_hostname: true\n")
    off.host.trees[IMAGE.source] = tree
    look, copy = off.tweak(Tweak(hostname="web"), COPY)
    assert look.startswith("look into")
    assert copy == "write a copy of it to /srv/out/new.raw: it is already as you want it"
    assert off.host.names("/srv/out") == ("new.raw",)
    assert not [call for call in off.host.calls if "--rw" in call.argv]


def test_an_image_that_is_not_there_is_refused() -> None:
    off = Off()
    del off.host.files[IMAGE.source]
    assert "not on this host" in off.refusals(ALL, COPY)[0]


def test_no_copy_is_written_where_others_could_lay_a_link() -> None:
    there = replace(COPY, way=anybodys("/srv/out"))
    assert "others than root may write to /srv/out" in Off().refusals(ALL, there)[0]


def test_addresses_are_remembered_so_that_nothing_is_told_of_them_any_more() -> None:
    off = Off()
    (web,) = off.wanted.guests
    gone = GivenNic(mac="52:54:00:0a:0b:0c")
    moved = nic("web", addresses=(ip_interface("10.223.0.99/24"),))
    off.wanted = spec(replace(web, nics=(moved,), labels=("new",)))

    def notes() -> list[str]:
        return [note.text for note in make_plan(off.wanted, off.host.facts(off.wanted)).notes]

    carry_out(off.host, remembering(web, gone))
    assert [text for text in notes() if "`kvmkeep tweak web --addresses`" in text] == notes()
    assert len(notes()) == 1
    done = off.tweak(Tweak(nics=(moved,)))
    assert done[2:] == [
        "remember what its NICs have inside", "keep its definition in /root/kvm/web.xml",
    ]  # fmt: skip
    assert notes() == []
    (domain,) = off.host.facts(off.wanted).domains
    assert domain.given == (GivenNic(mac=moved.mac, settings=settings_of(moved)), gone)
    assert domain.labels == ()
    later = replace(CHANGE, asked="20261123T081034Z")
    assert off.tweak(Tweak(nics=(moved,)), later) == ["look into its disk vm-web"]


def test_a_name_is_remembered_so_that_nothing_is_told_of_it_any_more() -> None:
    off = Off()
    (web,) = off.wanted.guests
    off.wanted = spec(replace(web, hostname="shop"))
    (note,) = make_plan(off.wanted, off.host.facts(off.wanted)).notes
    assert "`kvmkeep tweak web`" in note.text
    done = off.tweak(Tweak(hostname="shop"))
    assert done[2:] == [
        "remember what it is called inside", "keep its definition in /root/kvm/web.xml",
    ]  # fmt: skip
    assert make_plan(off.wanted, off.host.facts(off.wanted)).notes == ()
    assert "remember what it is called inside" not in off.tweak(
        Tweak(hostname="shop"), replace(CHANGE, asked="20261123T081034Z")
    )


def test_what_a_list_says_otherwise_than_the_spec_is_told_afterwards() -> None:
    off = Off()
    other = nic("web", addresses=(ip_interface("10.223.0.98/24"),))
    off.tweak(Tweak(nics=(other, nic("web", mac=Mac("52:54:00:0a:0b:0c")))))
    (note,) = make_plan(off.wanted, off.host.facts(off.wanted)).notes
    assert "was given addresses 10.223.0.98/24 (the spec says 10.223.0.20/24)" in note.text


def test_what_a_killed_run_did_not_remember_the_next_one_does() -> None:
    off = Off()
    other = Tweak(nics=(nic("web", addresses=(ip_interface("10.223.0.98/24"),)),))
    for _ in range(3):
        step = off.plan(other).certain[0]
        carry_out(off.host, step)
        if step.what.startswith("change"):
            break
    later = replace(CHANGE, asked="20261123T081034Z")
    done = off.tweak(other, later)
    assert [what.partition(" ")[0] for what in done] == ["look", "remember", "keep"]


def remembering(web: Guest, *more: GivenNic) -> Step:
    """Return what has web's domain remember its NICs, and others."""
    given = tuple(GivenNic(mac=one.mac, settings=settings_of(one)) for one in web.nics)
    return Step(
        noun=Noun.DOMAINS, subject="guest web", what="", why="",
        actions=mark_commands(web, (*given, *more), (), None),
    )  # fmt: skip


def test_each_wish_is_told_in_words() -> None:
    said = sentences(replace(ALL, nics=(nic("web", dhcp=True, addresses=()),), cloud_init=True))
    assert "set 52:54:00" in said[5]
    assert said[5].endswith("up with DHCP")
    assert said[6] == "switch cloud-init on"
    two = SshKeys(user="root", keys=(KEY, KEY))
    assert sentences(Tweak(ssh_keys=(two,))) == ("have 2 SSH keys open root",)


def test_a_host_without_the_guest_has_nothing_to_change() -> None:
    host, wanted = FakeHost(), site()[1]
    plan = plan_tweak(wanted, host.facts(wanted), CHANGE, ALL, None)
    assert plan.refusals
    assert plan.steps == ()
