"""`kvmkeep clone`, from the command line down to a host in memory."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from fakes.host import FakeHost

from kvmkeep.model.backup import LastBackup
from kvmkeep.model.command import WriteFile
from tests.unit.cli.site import HASH, Site

Capture = pytest.CaptureFixture[str]
ADDRESS = ("--address", "public=132.230.223.38/24")


class Written(FakeHost):
    """A host whose files of the spec are real ones."""

    def write(self, file: WriteFile) -> None:
        super().write(file)
        if "/spec/guests/" in file.path:
            Path(file.path).write_bytes(file.content)


@pytest.fixture
def site(tmp_path: Path, capsys: Capture) -> Site:
    """Return a host with a running guest."""
    made = Site(tmp_path)
    made.host.__class__ = Written
    made.host.lvm.size <<= 2
    assert made.line("apply", "--yes") == 0
    made.host.libvirt.domains["web"].agent = True
    capsys.readouterr()
    return made


def test_a_guest_is_cloned_once(site: Site, capsys: Capture) -> None:
    words = ("clone", "web", "shop", *ADDRESS, "--hostname", "shop.example.org", "--yes")
    assert site.line(*words, "--dry-run") == 0
    assert "copy the disk of web to it as they were at" in capsys.readouterr().out
    assert site.line(*words) == 0
    said = capsys.readouterr()
    assert HASH not in said.out + said.err
    assert site.host.libvirt.domains["shop"].state == "running"
    file = Path(site.spec_dir, "guests/shop.yaml").read_text()
    assert "address: 132.230.223.38/24" in file
    assert "hostname: shop.example.org" in file
    for again in (words, ("clone", "web", "shop", "--yes")):
        assert site.line(*again) == 0
        assert "Nothing to do." in capsys.readouterr().out
    assert site.line("clone", "web", "shop", "--yes", *ADDRESS) == 2
    assert "is there already, with other addresses" in capsys.readouterr().err
    assert site.line("plan", "--exit-code") == 0


def test_a_clone_does_not_inherit_the_backups_of_an_earlier_guest_of_its_name(
    site: Site, capsys: Capture
) -> None:
    last = LastBackup(identity="shop", repository="vault", moment="20261120T0000Z", level="off")
    site.host.put("/var/lib/kvmkeep/backups/shop.json", msgspec.json.encode(last))
    assert site.line("clone", "web", "shop", *ADDRESS, "--yes") == 0
    assert "\nidentity: shop-2\n" in Path(site.spec_dir, "guests/shop.yaml").read_text()
    assert site.line("clone", "web", "shop", *ADDRESS, "--yes") == 0
    assert "Nothing to do." in capsys.readouterr().out


def test_where_the_agent_does_not_freeze_this_is_said_and_done_without(
    site: Site, capsys: Capture
) -> None:
    site.host.libvirt.stubborn_agents.add("web")
    words = ("clone", "web", "shop", *ADDRESS, "--yes")
    assert site.line(*words, "--consistency", "frozen") == 7
    assert site.line(*words) == 0
    assert "The guest can't be frozen." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("web", "shop"), "needs another one"),
        (("web", "shop", "--address", "public"), "a network and an address"),
        (("web", "shop", "--address", "other=dhcp"), "no NIC in a network other"),
        (("web", "shop", "--address", "public=132.230.223.37/24"), "the new guest's file would"),
        (("web", "Sh op", *ADDRESS), "can't be"),
        (("web\x1b", "shop", *ADDRESS), "can't be a guest's name"),
        (("db", "shop", *ADDRESS), "db"),
        (("web", "file", *ADDRESS), "the file of another guest"),
        (("web", "shop", "--snapshot-size", "much", *ADDRESS), "--snapshot-size"),
    ],
)
def test_wrong_words(site: Site, capsys: Capture, words: tuple[str, ...], said: str) -> None:
    other = Path(site.spec_dir, "guests/web.yaml").read_text().replace(".37/", ".39/")
    Path(site.spec_dir, "guests/file.yaml").write_text(other + "name: named\n")
    assert site.line("clone", *words, "--yes") == 2
    assert said in capsys.readouterr().err
    assert not Path(site.spec_dir, "guests/shop.yaml").exists()


def test_a_guest_without_a_first_boot(site: Site, capsys: Capture) -> None:
    text = Path(site.spec_dir, "guests/web.yaml").read_text()
    plain = text[: text.index("login")] + "first_boot: none\n"
    Path(site.spec_dir, "guests/web.yaml").write_text(plain)
    assert site.line("clone", "web", "shop", *ADDRESS, "--yes") == 4
    assert "guest web: no seed would give the clone" in capsys.readouterr().err
