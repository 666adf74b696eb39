from __future__ import annotations

from xml.etree import ElementTree as ET

import libvirt
import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.spec import FileDisk, Guest
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.domains.xml import TemplateError, domain_xml, serial_of
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, guest, network, nic, spec

SITE = """<?xml version='1.0'?>
<!-- Replace %CHANGEME-VM-NAME% and %CHANGEME-ANYTHING%. -->
<domain type='kvm' id='7'>
  <name>%CHANGEME-VM-NAME%</name>
  <metadata>
    <x:site xmlns:x='urn:example:site'>kept</x:site>
    <k:guest xmlns:k='urn:kvmkeep:guest:1'><k:label>old</k:label></k:guest>
  </metadata>
  <memory unit='KiB'>%CHANGEME-RAM-SIZE%</memory>
  <currentMemory unit='MiB'>1</currentMemory>
  <vcpu placement='static' current='1'>%CHANGEME-NUM-CPUS%</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
  <cpu mode='host-model'/>
  <devices>
    <emulator>/usr/libexec/qemu-kvm</emulator>
    <disk type='block' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' io='native'/>
      <source dev='/dev/rl_build/vm-%CHANGEME-VM-NAME%'/>
      <target dev='vda' bus='virtio'/>
      <iotune><total_iops_sec>500</total_iops_sec></iotune>
    </disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
    <controller type='scsi' index='0' model='virtio-scsi'/>
    <serial type='pty'><log file='/elsewhere'/><target type='isa-serial' port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:99'/><source bridge='%CHANGEME-BRIDGE-NAME%'/>
      <model type='e1000e'/><mtu size='1500'/>
    </interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <watchdog model='i6300esb' action='reset'/>
  </devices>
</domain>
"""
MINIMAL = "<domain type='kvm'><os><type>hvm</type></os></domain>"


def made(one: Guest, template: str = "", emulator: str = "") -> ET.Element:
    site = spec(one, template=template, networks=(network(), network("internal", 2368)))
    return ET.fromstring(  # noqa: S314 - our own
        domain_xml(site, one, {n.name: n for n in site.networks}, emulator)
    )


def values(xml: ET.Element, path: str, attribute: str) -> list[str | None]:
    return [element.get(attribute) for element in xml.findall(path)]


@pytest.mark.parametrize("template", ["", SITE, MINIMAL])
def test_libvirt_accepts_it_and_finds_our_mark(template: str) -> None:
    one = guest(
        data=GIB, labels=("x<y",), description="a & b",
        nics=(nic("web"), nic("web", 1, on="internal")),
    )  # fmt: skip
    xml = made(one, template)
    xml.set("type", "test")
    connection = libvirt.open("test:///default")
    domain = connection.defineXMLFlags(
        ET.tostring(xml, encoding="unicode"), libvirt.VIR_DOMAIN_DEFINE_VALIDATE
    )
    found = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, "urn:kvmkeep:guest:1")
    assert "x&lt;y" in found
    assert domain.UUIDString() == one.uuid
    assert domain.maxMemory() == one.memory.kib
    connection.close()


@pytest.mark.parametrize("template", ["", SITE, MINIMAL])
def test_what_the_spec_says_is_in_it(template: str) -> None:
    one = guest(data=GIB, nics=(nic("web"), nic("web", 1, on="internal")))
    xml = made(one, template, "/usr/bin/qemu")
    assert xml.findtext("name") == "web"
    assert xml.findtext("memory") == xml.findtext("currentMemory") == str(2 << 20)
    assert xml.findtext("vcpu") == "2"
    assert xml.findtext("devices/emulator") == "/usr/bin/qemu"
    disks = xml.findall("devices/disk")
    assert [disk.get("device") for disk in disks] == ["disk", "disk", "cdrom"]
    assert values(xml, "devices/disk/driver", "type") == ["raw", "raw", "raw"]
    assert values(xml, "devices/disk/source", "dev") == [
        "/dev/rl_build/vm-web", "/dev/rl_build/vm-web-data",
    ]  # fmt: skip
    assert values(xml, "devices/disk/target", "dev") == ["vda", "vdb", "sda"]
    assert values(xml, "devices/disk/target", "bus") == ["virtio", "virtio", "scsi"]
    assert values(xml, "devices/disk/driver", "cache")[:2] == ["none", "none"]
    assert values(xml, "devices/interface/source", "bridge") == ["virbr1.223", "virbr1.2368"]
    assert values(xml, "devices/interface/mac", "address") == [n.mac for n in one.nics]
    assert values(xml, "devices/serial/log", "file") == ["/var/log/libvirt/qemu/web-console.log"]
    assert values(xml, "devices/channel/target", "name") == ["org.qemu.guest_agent.0"]
    assert values(xml, "devices/controller[@type='scsi']", "model") == ["virtio-scsi"]
    assert len(xml.findall("metadata/{urn:kvmkeep:guest:1}guest")) == 1


def test_headroom_is_more_than_what_it_has_at_first() -> None:
    xml = made(guest(memory_headroom=Size(GIB), vcpus_headroom=2))
    assert (xml.findtext("memory"), xml.findtext("currentMemory")) == (str(3 << 20), str(2 << 20))
    vcpu = xml.find("vcpu")
    assert (vcpu.text, vcpu.get("current")) == ("4", "2")


@pytest.mark.parametrize(
    ("template", "ports"),
    [
        ("", 15),
        (SITE, 15),
        (MINIMAL, 0),
        (MINIMAL.replace("<type>", "<type machine='pc'>"), 0),
        (MINIMAL.replace("<type>", "<type machine='pc-q35-7.2'>"), 15),
        (MINIMAL.replace("<os><type>", "<devices><controller type='pci' model='pcie-root-port'/>"
                         "</devices><os><type machine='q35'>"), 1),
    ],
)  # fmt: skip
def test_a_machine_that_needs_them_has_spare_ports(template: str, ports: int) -> None:
    xml = made(guest(data=GIB, nics=()), template)
    assert len(xml.findall("devices/controller[@model='pcie-root-port']")) == ports


def test_a_disk_in_a_file_is_given_as_a_file() -> None:
    file = FileDisk(name=Label("far"), path="/data/web.img", mount="/data", size=Size(GIB))
    one = guest()
    disk = made(replace(one, disks=(*one.disks, file))).findall("devices/disk")[1]
    assert disk.get("type") == "file"
    assert disk.find("source").attrib == {"file": "/data/web.img"}
    driver = disk.find("driver").attrib
    assert (driver["type"], driver["cache"], driver["io"]) == ("raw", "none", "native")
    assert disk.find("target").get("dev") == "vdb"
    assert disk.findtext("serial") == "web-far"


def test_what_a_template_says_besides_is_kept() -> None:
    xml = made(guest(data=GIB), SITE)
    assert xml.findtext("devices/emulator") == "/usr/libexec/qemu-kvm"
    assert xml.findtext("metadata/{urn:example:site}site") == "kept"
    assert values(xml, "devices/watchdog", "action") == ["reset"]
    assert values(xml, "devices/interface/model", "type") == ["e1000e"]
    assert values(xml, "devices/interface/mtu", "size") == ["1500"]
    assert [e.text for e in xml.iter("total_iops_sec")] == ["500", "500"]
    assert xml.find("cpu").get("mode") == "host-model"
    assert xml.find("vcpu").get("current") is None


def test_guest_without_network_and_template_without_devices() -> None:
    xml = made(guest(nics=()), MINIMAL)
    assert xml.findall("devices/interface") == []
    assert values(xml, "devices/disk/driver", "io") == ["native", None]


def with_disk(target: str) -> str:
    disk = f"<devices><disk><target {target}/></disk></devices></domain>"
    return MINIMAL.replace("</domain>", disk)


def test_template_whose_disk_has_no_driver() -> None:
    xml = made(guest(), with_disk("dev='vda'"))
    assert values(xml, "devices/disk/driver", "cache") == ["none", None]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("<domain><name>%CHANGEME-NAME%</name></domain>", "unknown placeholders: %CHANGEME-NAME%"),
        ("<!DOCTYPE domain [<!ENTITY a 'b'>]><domain/>", "document type or entities"),
        ("<domain>", "can't be read"),
        ("<network/>", "root element is <network>"),
        (with_disk("dev='sda' bus='sata'"), "its first disk is sda on bus sata"),
        (with_disk("dev='sda'"), "its first disk is sda on no bus"),
    ],
)
def test_wrong_templates_refuse_the_plan(template: str, reason: str) -> None:
    wanted = spec(guest(), template=template)
    with pytest.raises(TemplateError, match=reason):
        made(guest(), template)
    found = make_plan(wanted, FakeHost().facts(wanted))
    assert any(r.subject == "base template" and reason in r.reason for r in found.refusals)


def test_serials_fit_and_stay_different() -> None:
    assert serial_of("vm-web-data") == "vm-web-data"
    one, two = serial_of("vm-a-very-long-guest-data"), serial_of("vm-a-very-long-guest-logs")
    assert one != two
    assert len(one) == len(two) == 20


def test_thirty_disks_have_names_as_the_kernel_counts() -> None:
    one = guest()
    disks = tuple(one.disks[0] for _ in range(30))
    xml = made(guest(disks=disks))
    assert values(xml, "devices/disk/target", "dev")[25:28] == ["vdz", "vdaa", "vdab"]


def test_same_spec_gives_the_same_text() -> None:
    one = guest(memory=Size(GIB + 1))
    site = spec(one)
    networks = {n.name: n for n in site.networks}
    assert domain_xml(site, one, networks) == domain_xml(site, one, networks)
    assert f">{(1 << 20) + 1}<" in domain_xml(site, one, networks)


def test_the_root_of_pci_comes_before_its_ports() -> None:
    root = made(guest())
    first, *ports = root.findall("devices/controller[@type='pci']")
    assert (first.get("index"), first.get("model")) == ("0", "pcie-root")
    assert {one.get("model") for one in ports} == {"pcie-root-port"}
    assert all(one.get("index") is None for one in ports)
