"""Others change the host with their own tools: each change is named, and healed as it is said.

More of them, that break what runs, are in `test_check`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from labhost import HOST_YAML
from sites import ALPHA, GUESTS

if TYPE_CHECKING:
    from labhost import Host

pytestmark = pytest.mark.long

STEP, REFUSAL = "a step of the plan", "a refusal of the plan"
G, INTERNAL, PUBLIC = "guest alpha", "network internal", "network public"
LOGS, DATA = "rl_build/vm-alpha-logs", "rl_build/vm-alpha-data"
SPEC = "/etc/kvmkeep"
SECRET = "/root/vault.pw"
MAC = "$(virsh domiflist alpha --inactive | awk '/bridge/ {print $5}')"
UNSAFE = "0,/cache='none'/s//cache='unsafe'/;0,/io='native'/s//io='threads'/"
SAFE = "s/cache='unsafe'/cache='none'/;s/io='threads'/io='native'/"
EDIT = f'echo "{SAFE}" > /root/safe.sed; EDITOR="sed -i -f /root/safe.sed" virsh --quiet edit alpha'
MARK = "virsh metadata alpha --uri urn:kvmkeep:guest:1"
INSTALL = "kvmkeep install-units"
TAGS = "--addtag kvmkeep --addtag kvmkeep.guest=alpha --addtag kvmkeep.disk=data"
VOLUMES = "lvs --noheadings -o lv_name,lv_uuid,lv_size,lv_tags rl_build"
LOOK = f"lvs --noheadings -o lv_name,lv_uuid,lv_size,lv_tags,lv_permissions {DATA} {LOGS}"


@dataclass(frozen=True)
class Row:
    """A change, and who tells of it in which words: a finding of `check` by its name, or the plan.

    `todo` is what is told to type against it, and `line` that line where it needs an answer or an
    editor; without `todo`, `apply` heals it.
    """

    typed: str
    place: str
    subject: str
    words: str
    todo: str = ""
    line: str = ""


RUNNING = (
    Row("virsh setvcpus alpha 2 --config --maximum", STEP, G, "give it 1 CPU"),
    Row("virsh setmem alpha 200M --config", STEP, G, "give it 256 MiB of memory"),
    Row("virsh detach-disk alpha vdb --config", STEP, G, f"give it /dev/{DATA} as disk vdb"),
    Row(f"virsh detach-interface alpha bridge --mac {MAC} --config", STEP, G, "give it the NIC"),
    Row("virsh desc alpha --config --new-desc mine", STEP, G, "describe it as the spec does"),
    Row(
        f'virsh dumpxml --inactive alpha | sed "{UNSAFE}" > /root/a.xml;'
        "virsh define /root/a.xml",
        "disk-cache-unsafe", G, "vda has cache='unsafe', from its next start on",
        "virsh edit alpha", EDIT,
    ),
    Row("echo '<domain/>' > /root/kvm/beta.xml", STEP, "guest beta", "keep its definition"),
    Row("nmcli connection modify virbr1.223 bridge.stp no", STEP, PUBLIC, "bridge.stp of virbr1.223"),
    Row("nmcli connection modify ens802f1.223 vlan.id 224", STEP, PUBLIC,
        "vlan.id of ens802f1.223 from 224 to 223"),
    Row(
        "nmcli connection modify virbr1.223 ipv4.method manual ipv4.addresses 132.230.223.99/24",
        STEP, PUBLIC, "ipv4.addresses of virbr1.223 from 132.230.223.99/24 to nothing",
    ),
    Row("nmcli connection modify ens802f1.2368 connection.autoconnect no", STEP, INTERNAL,
        "connection.autoconnect of ens802f1.2368 from no to yes"),
    Row("nmcli connection modify virbr1.2368 connection.id mine", STEP, INTERNAL,
        "connection.id of virbr1.2368 from mine to virbr1.2368"),
    Row(f"lvchange --permission r {LOGS}", "volume-read-only", f"volume {LOGS}", "can't be written",
        f"lvchange --permission rw {LOGS}"),
    Row(f"lvcreate --yes --snapshot --size 8m --name by-hand {DATA}", "snapshot-of-others",
        "snapshot rl_build/by-hand", "somebody took it of vm-alpha-data",
        "lvremove rl_build/by-hand", "lvremove --yes rl_build/by-hand"),
    Row("systemctl disable --now kvmkeep-watch.timer", "units-off", "units of kvmkeep",
        "kvmkeep-watch.timer does not begin with the host", INSTALL, f"{INSTALL} --yes"),
    Row("systemctl disable kvmkeep-recover.service", "units-off", "units of kvmkeep",
        "kvmkeep-recover.service does not begin with the host", INSTALL, f"{INSTALL} --yes"),
    Row("systemctl disable libvirtd", "service-not-enabled", "libvirtd", "it is disabled",
        "systemctl enable libvirtd.service"),
    Row("systemctl disable NetworkManager", "service-not-enabled", "NetworkManager",
        "it is disabled", "systemctl enable NetworkManager.service"),
    Row(f"chmod 644 {SECRET}", "backup-secret", "repository vault", "not for root alone",
        f"chmod 600 {SECRET}"),
    Row(f"chmod 666 {SPEC}/guests/beta.yaml", "spec-writable", f"file {SPEC}/guests/beta.yaml",
        "everybody on this host", f"chmod o-w {SPEC}/guests/beta.yaml"),
    Row(f"chown nobody {SPEC}/host.yaml", "spec-writable", f"file {SPEC}/host.yaml",
        "who is not root", f"chown root:root {SPEC}/host.yaml"),
)  # fmt: skip
GONE = (
    Row("virsh undefine alpha", "guest-undefined", G, "took its definition",
        "kvmkeep apply alpha", "kvmkeep apply --yes alpha"),
    Row("nmcli connection delete virbr1.223", "bridge-absent", PUBLIC, "is not there"),
    Row("nmcli connection delete ens802f1.223", STEP, PUBLIC, "make bridge virbr1.223 with"),
)  # fmt: skip
OFF = (
    Row("virsh destroy alpha", "guest-off", G, "it is off", "kvmkeep start alpha", "true"),
    Row("virsh autostart alpha", STEP, G, "have it start with the host"),
    Row("lvchange --activate n rl_build/vm-alpha", "volume-inactive", "volume rl_build/vm-alpha",
        "not active", "lvchange --activate y rl_build/vm-alpha"),
    Row(f"lvrename {LOGS} rl_build/old-logs", REFUSAL, G, "old-logs wears its marks",
        "lvrename rl_build old-logs vm-alpha-logs"),
    Row(f"lvchange {TAGS.replace('add', 'del')} {DATA}", REFUSAL, G, f"{DATA} exists and is not ours",
        f"lvchange {TAGS} {DATA}"),
)  # fmt: skip
NAMED = (
    Row("virsh domrename alpha omega", REFUSAL, G, "the domain omega has its UUID",
        "virsh domrename omega alpha"),
    Row(f"lvextend --size +4m {LOGS}", REFUSAL, G, "a disk is never made smaller", "logs: 36MiB",
        f"sed -i 's/logs: 32MiB/logs: 36MiB/' {SPEC}/guests/alpha.yaml"),
)  # fmt: skip
LOST = (
    Row(f"{MARK} --remove --config", REFUSAL, G, "is not ours",
        f"{MARK} --key kvmkeep --set '<guest/>' --config"),
    Row(f"lvremove --yes {LOGS}", REFUSAL, G, f"its LV {LOGS} is gone", "vgcfgrestore", "true"),
)  # fmt: skip

SLOW = {"agent-silent", "guest-not-ready", "unit-failed"}
"""What an emulated processor makes of agents that have two seconds, and of a look of the watch amid
all of this: it is told until the next one, a minute later."""
PATIENCE = "200"
"""Seconds for a look on an emulated processor that has others to serve as well."""
Told = list[tuple[str, str, str, str]]


def look(site: Host) -> Told:
    """Return all that `check` and `plan` tell: by whom, of what, in which words, and what to type."""
    found = json.loads(site.kvmkeep("check", "--json", "--limit", PATIENCE).stdout)["findings"]
    findings = [one for one in found if one["name"] not in SLOW]
    plan = json.loads(site.kvmkeep("plan", "--json").stdout)["plan"]
    return [
        *((one["name"], one["subject"], one["what"], one["todo"]) for one in findings),
        *((STEP, one["subject"], one["what"], "") for one in plan["steps"]),
        *((REFUSAL, one["subject"], one["reason"], one["hint"]) for one in plan["refusals"]),
    ]


def broken(site: Host, rows: tuple[Row, ...]) -> None:
    """Make all changes at once; demand that each is told, and type what is told against it."""
    site.must("\n".join(("set -e", *(f"{{ {row.typed}; }} >/dev/null" for row in rows))))
    told = look(site)
    missing = [
        row.typed
        for row in rows
        if not any(
            (row.place, row.subject) == one[:2] and row.words in one[2] and row.todo in one[3]
            for one in told
        )
    ]
    assert not missing, told
    if any(row.place == REFUSAL for row in rows):
        before = site.must(VOLUMES)
        done = site.kvmkeep("apply", "--yes")
        assert done.returncode == 4, done.stdout + done.stderr
        assert site.must(VOLUMES) == before
    for line in dict.fromkeys(row.line or row.todo for row in rows):
        if line:
            site.must(line, limit=900)


def healed(site: Host, before: Told) -> None:
    """Demand that one `apply` leaves nothing to do, and nothing else to tell than before."""
    site.apply()
    plan = site.plan()
    assert plan["steps"] == [], plan
    new = [one for one in look(site) if one[:2] not in {past[:2] for past in before}]
    assert not new


def definition(site: Host) -> list[str]:
    """Return alpha's definition as libvirt has it, in any order of its lines."""
    return sorted(site.must("virsh dumpxml --inactive alpha").split("\n"))


def profiles(site: Host) -> str:
    """Return all settings of our profiles that anybody set, as NetworkManager tells them."""
    names = "virbr1.223 ens802f1.223 virbr1.2368 ens802f1.2368"
    keys = "connection.id,connection.autoconnect,bridge.stp,vlan.id,ipv4.method,ipv4.addresses"
    return site.must(
        f"for one in {names}; do nmcli --get-values {keys} connection show $one; done; ip -br address"
        " show virbr1.223 | awk '{$2=\"\"; print}'"
    )


@pytest.fixture(scope="module")
def before(site: Host) -> Told:
    """Have the units, a description and a repository; return what is told when all is well."""
    described = GUESTS["alpha"] + "description: the shop\n"
    vault = f"repositories:\n  vault: {{url: /srv/vault, password_file: {SECRET}}}\n"
    site.must(f"umask 077; echo secret > {SECRET}")
    site.put_spec({**GUESTS, "alpha": described}, HOST_YAML + vault)
    done = site.kvmkeep("install-units", "--yes")
    assert done.returncode == 0, done.stderr
    site.apply()
    site.must("lvchange --addtag of-others rl_build/vm-alpha-data")
    told = look(site)
    assert not [one for one in told if one[0] in {STEP, REFUSAL}]
    return told


def test_there_are_enough() -> None:
    rows = (*RUNNING, *GONE, *OFF, *NAMED, *LOST)
    assert len({row.typed for row in rows}) == len(rows) >= 30


def test_of_guests_that_run(site: Host, before: Told) -> None:
    process, xml, network = site.qemu_pid("alpha"), definition(site), profiles(site)
    volumes, units = site.must(LOOK), "kvmkeep-watch.timer kvmkeep-recover libvirtd NetworkManager"
    broken(site, RUNNING)
    healed(site, before)
    assert definition(site) == xml
    assert profiles(site) == network
    assert site.must(LOOK) == volumes
    assert "of-others" in volumes, "a tag of others stays"
    site.must(f"systemctl is-enabled {units} && systemctl is-active kvmkeep-watch.timer")
    site.must("virsh dumpxml --inactive beta | cmp - /root/kvm/beta.xml")
    assert site.qemu_pid("alpha") == process

    broken(site, GONE)
    healed(site, before)
    assert definition(site) == xml, "what was put into the definition is not lost with it"
    assert "Persistent: yes" in " ".join(site.must("virsh dominfo alpha").split())
    assert profiles(site) == network
    assert site.qemu_pid("alpha") == process


def test_of_a_guest_that_is_off(site: Host, before: Told) -> None:
    volumes = site.must(LOOK)
    broken(site, OFF)
    off = [*before, ("guest-off", G, "", "")]
    healed(site, off)
    assert site.must(LOOK) == volumes
    assert "alpha" not in site.must("virsh list --all --autostart --name").split()

    broken(site, NAMED)
    healed(site, off)
    assert "36.00m" in site.must(f"lvs --noheadings -o lv_size {LOGS}")

    content, volumes, xml = site.must(f"md5sum < /dev/{LOGS}"), site.must(LOOK), definition(site)
    # It would start alpha: with its definition goes why it is off.
    site.must("systemctl stop kvmkeep-watch.timer")
    off.append(("units-off", "units of kvmkeep", "", ""))
    broken(site, LOST)
    refused_again(site)
    site.must(
        "set -e; file=$(grep -l 'before.*lvremove.*vm-alpha-logs' /etc/lvm/archive/rl_build_*.vg);"
        f"vgcfgrestore --yes --file $file rl_build; lvchange --activate y {LOGS}"
    )
    healed(site, off)
    assert site.must(f"md5sum < /dev/{LOGS}") == content
    assert site.must(LOOK) == volumes
    assert definition(site) == xml
    done = site.kvmkeep("start", "alpha")
    assert done.returncode == 0, done.stderr
    site.must(f"ip netns exec campus ping -c 3 -i 0.5 -W 5 {ALPHA}")
    site.kvmkeep("uninstall-units", "--yes")


def refused_again(site: Host) -> None:
    """A disk that is lost is not made anew, empty, where the definition is lost with it."""
    site.must("virsh undefine alpha")
    plan: dict[str, Any] = json.loads(site.kvmkeep("plan", "--json").stdout)["plan"]
    (refusal,) = plan["refusals"]
    assert f"its LV {LOGS} is gone" in refusal["reason"]
    assert "move /root/kvm/alpha.xml away first" in refusal["hint"]
    assert site.kvmkeep("apply", "--yes").returncode == 4
    assert site.run(f"lvs {LOGS}").returncode != 0
