"""Small specs for tests of planning: a guest in five words."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

from msgspec.structs import replace

from kvmkeep.model.backup_policy import BackupPolicy, Engine, Keep, Repository
from kvmkeep.model.names import guest_mac, guest_uuid, lv_name
from kvmkeep.model.run import ReadyAgent, Run
from kvmkeep.model.spec import (
    FirstBoot,
    Format,
    Guest,
    Host,
    Image,
    Login,
    LvDisk,
    Network,
    Nic,
    Packing,
    Place,
    Spec,
    Storage,
)
from kvmkeep.model.units import GuestName, Label, Size

GIB = 1 << 30
HOST = "host.example.org"
PLACE = Place(file="host.yaml", line=1, column=1)
IMAGE = Image(
    name=Label("debian"), source="/srv/debian.raw", format=Format.RAW, packing=Packing.NONE,
    check=None, write_rate=0, place=PLACE,
)  # fmt: skip


def network(name: str = "public", vlan: int = 223, **changes: object) -> Network:
    made = Network(
        name=Label(name), vlan=vlan, bridge=f"virbr1.{vlan}", vlan_interface=f"uplink0.{vlan}",
        prefix=ip_network(f"10.{vlan % 256}.0.0/24"), gateway=ip_address(f"10.{vlan % 256}.0.254"),
        dns=(ip_address("192.0.2.53"),), search=(), ageing_time=0, stp=True, forward_delay=15,
        mtu=0, place=PLACE,
    )  # fmt: skip
    return replace(made, **changes)


def nic(guest: str, number: int = 0, on: str = "public", **changes: object) -> Nic:
    made = Nic(
        network=Label(on), mac=guest_mac(HOST, GuestName(guest), number), dhcp=False,
        addresses=(ip_interface(f"10.223.0.{20 + number}/24"),),
        gateway=ip_address("10.223.0.254"), routes=(), dns=(ip_address("192.0.2.53"),), search=(),
    )  # fmt: skip
    return replace(made, **changes)


def guest(name: str = "web", *, data: int = 0, **changes: object) -> Guest:
    known = GuestName(name)
    roles = [("root", 4 * GIB)] + ([("data", data)] if data else [])
    run = Run(autostart=True, needs=(), ready=ReadyAgent(), start_timeout=300)
    run = replace(run, **{key: changes.pop(key) for key in list(changes) if hasattr(run, key)})
    made = Guest(
        name=known, identity=known, uuid=guest_uuid(HOST, known), hostname=name,
        description="", image=IMAGE.name,
        vcpus=2, memory=Size(2 * GIB),
        disks=tuple(
            LvDisk(name=Label(role), lv=lv_name("vm-", known, Label(role)), size=Size(size))
            for role, size in roles
        ),
        nics=(nic(name),),
        login=Login(
            user="admin", ssh_keys=("ssh-ed25519 AAAA admin",), password_hash="$6$canary$hash",
            sudo=True,
        ),
        run=run, first_boot=FirstBoot.AUTO, user_data="", labels=(), place=PLACE,
    )  # fmt: skip
    return replace(made, **changes)


VAULT = Repository(
    name=Label("vault"), engine=Engine.RESTIC, url="/srv/vault", password_file="/root/pw"
)
POLICY = BackupPolicy(
    repository=VAULT.name, schedule="daily", keep=Keep(last=3, daily=7, weekly=5, monthly=12),
    prove="weekly", check=(),
)  # fmt: skip


def spec(*guests: Guest, **changes: object) -> Spec:
    made = Spec(
        host=Host(name=HOST, memory_reserve=Size(4 * GIB), storage_reserve=Size(10 * GIB)),
        storage=Storage(vg="rl_build", lv_prefix="vm-"), uplink="uplink0", networks=(network(),),
        images=(IMAGE,), guests=guests, template="", xml_dir="/root/kvm",
    )  # fmt: skip
    return replace(made, **changes)
