from __future__ import annotations

from xml.etree import ElementTree as ET

import libvirt
import pytest
from msgspec.structs import replace

from kvmkeep.model.names import METADATA_URI
from kvmkeep.model.proof import PROOF_URI, is_proof_domain, proof_bridge, proof_lv, proof_uuid
from kvmkeep.model.units import Size
from kvmkeep.planning.proofs.domain import (
    CannotProveError,
    Likeness,
    ProofDisk,
    has_agent,
    memory_of,
    proof_xml,
)
from tests.unit.planning.build import GIB, HOST

AGENT = "<channel type='unix'><source mode='bind' path='/x'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
SITE = f"""<domain type='kvm' id='7'>
  <name>web</name><uuid>2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01</uuid><title>t</title>
  <metadata><k:guest xmlns:k='{METADATA_URI}'><k:label>old</k:label></k:guest></metadata>
  <memory unit='KiB'>4194304</memory><currentMemory unit='KiB'>2097152</currentMemory>
  <maxMemory slots='4' unit='KiB'>8388608</maxMemory><memoryBacking><hugepages/></memoryBacking>
  <vcpu placement='static' cpuset='0-3'>4</vcpu><cputune><vcpupin vcpu='0' cpuset='1'/></cputune>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <features><acpi/></features>
  <cpu mode='host-model'><topology sockets='1' cores='4' threads='1'/><numa><cell id='0' cpus='0-3' memory='4194304'/></numa></cpu>
  <clock offset='utc'/><on_reboot>restart</on_reboot>
  <devices>
    <disk type='block' device='disk'><driver name='qemu' type='raw' cache='none' io='native' iothread='1'/><source dev='/dev/vg/vm-web'/><target dev='vda' bus='virtio'/><serial>vm-web</serial><iotune><total_iops_sec>9</total_iops_sec></iotune><boot order='1'/></disk>
    <disk type='file' device='cdrom'><source file='/srv/x.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
    <disk type='block' device='disk'><source dev='/dev/mapper/vg-vm--web--data'/><target dev='sdb' bus='scsi'/></disk>
    <disk type='file' device='disk'><source file='/srv/not-backed-up.raw'/><target dev='vdc' bus='virtio'/></disk>
    <controller type='scsi' index='0' model='virtio-scsi'><driver iothread='1'/></controller>
    <interface type='bridge'><mac address='52:54:00:00:00:99'/><source bridge='virbr1.223'/><target dev='vnet3'/><model type='virtio'/><filterref filter='clean-traffic'/><boot order='2'/></interface>
    <interface type='hostdev'><mac address='52:54:00:00:00:98'/><source><address type='pci' domain='0' bus='7' slot='0' function='0'/></source></interface>
    <serial type='pty'><log file='/elsewhere'/><target type='isa-serial' port='0'/></serial>
    <serial type='tcp'><source mode='connect' host='10.0.0.1' service='99'/><target port='1'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    {AGENT}
    <channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>
    <graphics type='vnc' port='5900' listen='0.0.0.0'/><video><model type='vga'/></video>
    <hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev>
    <filesystem type='mount'><source dir='/srv'/><target dir='x'/></filesystem>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <rng model='virtio'><backend model='egd' type='tcp'>x</backend></rng>
    <watchdog model='i6300esb' action='reset'/><tpm model='tpm-crb'><backend type='emulator'/></tpm>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
  </devices>
  <seclabel type='none'/>
</domain>"""
ROOT = ProofDisk(sources=("/dev/vg/vm-web",), overlay="/dev/vg/proof-root", backing="/m/root.raw")
DATA = ProofDisk(
    sources=("/dev/vg/vm-web-data", "/dev/mapper/vg-vm--web--data"),
    overlay="/dev/vg/proof-data",
    backing="/m/data.raw",
)
LIKE = Likeness(
    guest="web", xml=SITE, uuid=proof_uuid(HOST, "web"), disks=(ROOT, DATA), memory=Size(GIB),
    cpus=2, bridge=proof_bridge("web"), console="/var/log/libvirt/qemu/x-console.log",
)  # fmt: skip
UEFI = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader><nvram template='/usr/share/OVMF/OVMF_VARS.fd'>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram>"


def made(**changes: object) -> ET.Element:
    return ET.fromstring(proof_xml(replace(LIKE, **changes)))  # noqa: S314 - our own


def test_libvirt_takes_it() -> None:
    connection = libvirt.open("test:///default")
    try:
        domain = connection.defineXML(proof_xml(LIKE))
        assert domain.name() == "kvmkeep-proof-web"
        assert domain.UUIDString() == proof_uuid(HOST, "web")
        assert is_proof_domain(domain.name())
    finally:
        connection.close()


def test_it_is_another_machine_with_the_same_cards_and_disks() -> None:
    root = made()
    assert root.findtext("uuid") != "2f5b0b0e-6a0e-4a52-9a39-0d6a3f0c9a01"
    assert root.find(f"metadata/{{{PROOF_URI}}}proof") is not None
    assert root.find(f"metadata/{{{METADATA_URI}}}guest") is None
    macs = [one.get("address") for one in root.iterfind("devices/interface/mac")]
    assert macs == ["52:54:00:00:00:99", "52:54:00:00:00:98"]
    bridges = {one.get("bridge") for one in root.iterfind("devices/interface/source")}
    assert bridges == {LIKE.bridge}
    assert {one.get("type") for one in root.iterfind("devices/interface")} == {"bridge"}
    disks = root.findall("devices/disk")
    assert [one.find("target").get("dev") for one in disks] == ["vda", "sdb"]
    assert [one.findtext("serial") for one in disks] == ["vm-web", None]
    assert [one.find("source").get("dev") for one in disks] == [
        "/dev/vg/proof-root", "/dev/vg/proof-data",
    ]  # fmt: skip
    backing = [one.find("backingStore/source").get("file") for one in disks]
    assert backing == ["/m/root.raw", "/m/data.raw"]
    assert {one.find("driver").get("type") for one in disks} == {"qcow2"}


def test_nothing_ties_it_to_the_host_or_to_others() -> None:
    text = proof_xml(LIKE)
    for word in (
        "hostdev", "graphics", "tcp", "filesystem", "watchdog", "tpm", "virbr1", "vnet3",
        "filterref", "/srv", "cdrom", "seclabel type", "iothread", "iotune", "hugepages", "cpuset",
        "maxMemory", "numa", "network", "/elsewhere", "spice", "restart", "title", "egd", "path=",
    ):  # fmt: skip
        assert word not in text, word


HOSTILE = (
    "<os firmware='efi'><type>hvm</type><kernel>/boot/vmlinuz</kernel><initrd>/etc/shadow</initrd>"
    "<dtb>/etc/shadow</dtb><acpi><table type='slic'>/etc/shadow</table></acpi>"
    "<type>linux</type><bios file='/etc/shadow'/><bootmenu enable='yes'/></os>"
    "<os><kernel>/etc/shadow</kernel></os><features path='/etc/shadow'/>"
    "<sysinfo type='fwcfg'><entry name='opt/x' file='/etc/shadow'/></sysinfo>"
    "<sysinfo type='smbios'><system><entry name='uuid'>2f5b0b0e</entry></system></sysinfo>"
)


def test_what_reaches_for_files_of_the_host_is_left_out_wherever_it_stands() -> None:
    old = "<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>"
    devices = (
        "<devices><input type='evdev'><source dev='/etc/shadow'/></input>"
        "<input type='passthrough' bus='virtio'><source evdev='/etc/shadow'/></input>"
        "<input type='tablet' bus='usb'/><emulator>/etc/shadow</emulator>"
        "<video><model type='virtio'><acceleration rendernode='/etc/shadow'/></model></video>"
        "<rng model='virtio'><backend model='random'>/etc/shadow</backend></rng></devices>"
    )
    xml = SITE.replace(old, HOSTILE).replace("</devices>", f"</devices>{devices}")
    xml = xml.replace("<domain type='kvm'", "<domain type='xen'")
    text = proof_xml(replace(LIKE, xml=xml))
    for word in ("/etc/shadow", "kernel", "emulator", "sysinfo", "evdev", "passthrough", "linux"):
        assert word not in text, word
    root = made(xml=xml)
    assert [one.tag for one in root.find("os")] == ["type"]
    assert root.find("os").attrib == {"firmware": "efi"}
    assert root.get("type") == "kvm"
    assert len(root.findall("os")) == len(root.findall("devices")) == 1
    assert [one.get("type") for one in root.iterfind("devices/input")] == ["tablet"]
    assert made(xml=SITE.replace("type='kvm'", "type='qemu'")).get("type") == "qemu"


@pytest.mark.parametrize(
    "loader",
    [
        "<loader readonly='no' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>",
        "<loader readonly='yes' type='pflash'>/etc/shadow</loader>",
        "<loader>/usr/share/../../etc/shadow</loader>",
    ],
)
def test_a_firmware_that_is_none_of_the_distributions_is_refused(loader: str) -> None:
    with pytest.raises(CannotProveError, match="no firmware below /usr/share"):
        made(xml=SITE.replace("</os>", f"{loader}</os>"))


def test_a_firmware_is_only_read() -> None:
    xml = SITE.replace("</os>", "<loader type='pflash' x='1'>/usr/share/OVMF/CODE.fd</loader></os>")
    assert made(xml=xml).find("os/loader").attrib == {"type": "pflash", "readonly": "yes"}


def test_a_proof_that_ends_by_itself_does_not_start_again() -> None:
    root = made()
    events = [root.findtext(name) for name in ("on_poweroff", "on_reboot", "on_crash")]
    assert events == ["destroy"] * 3


@pytest.mark.parametrize(
    ("memory", "kib"), [(GIB, "1048576"), (64 * GIB, "2097152")], ids=["capped", "as it has"]
)
def test_memory_is_what_the_host_can_spare_and_never_more_than_it_has(
    memory: int, kib: str
) -> None:
    root = made(memory=Size(memory))
    assert (root.findtext("memory"), root.findtext("currentMemory")) == (kib, kib)
    assert memory_of(SITE) == Size(2 * GIB)


@pytest.mark.parametrize(("cpus", "current"), [(2, "2"), (0, "1"), (4, None)])
def test_cpus_are_those_of_the_host_at_most_and_the_topology_stays(
    cpus: int, current: str | None
) -> None:
    vcpu = made(cpus=cpus).find("vcpu")
    assert vcpu is not None
    assert (vcpu.text, vcpu.get("current")) == ("4", current)
    assert made().find("cputune/shares") is not None


def test_the_console_is_written_to_a_file_of_its_own_and_bounded_by_virtlogd() -> None:
    serials = made().findall("devices/serial")
    assert [one.find("log").get("file") for one in serials] == [LIKE.console]
    assert [one.get("type") for one in serials] == ["pty"]
    without = SITE.replace("<serial type='pty'>", "<parallel type='pty'>").replace(
        "isa-serial' port='0'/></serial>", "isa-serial' port='0'/></parallel>"
    )
    without = without.replace("<serial type='tcp'>", "<parallel type='tcp'>").replace(
        "port='1'/></serial>", "port='1'/></parallel>"
    )
    assert made(xml=without).find("devices/serial/log").get("file") == LIKE.console


def test_the_agent_has_a_channel_of_its_own() -> None:
    assert has_agent(SITE)
    assert not has_agent(SITE.replace("guest_agent", "other"))
    channel = made().find("devices/channel")
    assert channel.find("target").get("name") == "org.qemu.guest_agent.0"
    assert channel.find("source") is None


def test_it_boots_from_its_disk() -> None:
    root = made()
    assert root.find("os/boot") is None
    assert [one.tag for one in root.iterfind("devices/*[boot]")] == ["disk"]
    net = SITE.replace("hvm</type>", "hvm</type><boot dev='network'/>")
    assert [one.get("dev") for one in made(xml=net).iterfind("os/boot")] == ["hd"]
    both = net.replace("<boot dev='network'/>", "<boot dev='network'/><boot dev='hd'/>")
    assert [one.get("dev") for one in made(xml=both).iterfind("os/boot")] == ["hd"]


def test_a_firmware_writes_into_a_copy_of_its_variables() -> None:
    uefi = SITE.replace("hvm</type>", f"hvm</type>{UEFI}")
    nvram = made(xml=uefi, nvram="/run/x/nvram.fd").find("os/nvram")
    assert (nvram.text, nvram.attrib) == ("/run/x/nvram.fd", {})
    with_source = uefi.replace("<nvram template", "<nvram type='file' template").replace(
        "/var/lib/libvirt/qemu/nvram/web_VARS.fd", "<source file='/y'/>"
    )
    assert "/y" not in proof_xml(replace(LIKE, xml=with_source, nvram="/run/x/nvram.fd"))
    assert made(nvram="/run/x/nvram.fd").findtext("os/nvram") == "/run/x/nvram.fd"
    with pytest.raises(CannotProveError, match="not in the backup"):
        proof_xml(replace(LIKE, xml=uefi))


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("<domain>", "can't be read"),
        ("<network/>", "not <domain>"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><domain/>", "document type"),
        ("<domain><memory>1</memory></domain>", "how it boots"),
        ("<domain><os/></domain>", "memory"),
        ("<domain><memory>1</memory><os/><devices/></domain>", "no disk /dev/vg/vm-web"),
    ],
)
def test_what_is_no_guest_of_ours_is_refused(xml: str, says: str) -> None:
    with pytest.raises(CannotProveError, match=says):
        proof_xml(replace(LIKE, xml=xml))


def test_names_are_its_own_and_fit() -> None:
    assert len(proof_bridge("a" * 60)) < 16
    assert proof_bridge("a") != proof_bridge("b")
    assert proof_uuid(HOST, "web") != proof_uuid(HOST, "db")
    assert proof_lv("web", "root") == "kvmkeep-proof-web-root"
