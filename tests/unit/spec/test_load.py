"""Reading the files through the door."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes.spec import load_text

from kvmkeep.errors import SpecError, Unready
from kvmkeep.host.door import ProgressWatcher, Result
from kvmkeep.host.files import list_names, look_at, read_file
from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.image_facts import ImageFile
from kvmkeep.spec.load import load
from tests.unit.spec.texts import BARE, HOST, WEB, changed

TEMPLATE = "<domain type='kvm'><name>%CHANGEME-VM-NAME%</name></domain>\n"


@dataclass
class ReadOnlyDoor:
    """The machine's files, and nothing else of it."""

    denied: str = ""
    error: OSError = field(default_factory=lambda: PermissionError(13, "Permission denied"))
    asked: list[tuple[str, int]] = field(default_factory=list)

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        self.asked.append((path, limit))
        if path == self.denied:
            raise self.error
        return read_file(path, limit)

    def names(self, directory: str) -> tuple[str, ...]:
        if directory == self.denied:
            raise self.error
        return list_names(directory)

    def run(self, command: Command, watch: ProgressWatcher | None = None) -> Result:
        raise NotImplementedError

    def write(self, file: WriteFile) -> None:
        raise NotImplementedError

    def look(self, path: str) -> ImageFile | None:
        return look_at(path)

    def device(self, path: str) -> str:
        raise NotImplementedError

    def which(self, program: str) -> str:
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def clock(self) -> float:
        raise NotImplementedError


@pytest.fixture
def spec_dir(tmp_path: Path) -> Path:
    (tmp_path / "guests").mkdir()
    (tmp_path / "host.yaml").write_text(HOST)
    (tmp_path / "guests/web.yaml").write_text(WEB)
    return tmp_path


def told(directory: Path, door: ReadOnlyDoor | None = None) -> str:
    with pytest.raises(SpecError) as caught:
        load(str(directory), door or ReadOnlyDoor())
    return caught.value.message.replace(str(directory), "DIR")


def test_files_give_what_their_texts_give(spec_dir: Path) -> None:
    (spec_dir / "README.md").write_text("not read")
    (spec_dir / "guests/.web.yaml.swp").write_bytes(b"\xff")
    spec = load(str(spec_dir), ReadOnlyDoor())
    assert spec.guests[0].name == "web"
    assert str(spec.guests[0].place) == f"{spec_dir}/guests/web.yaml:1:1"
    text = load_text({"host.yaml": HOST, "guests/web.yaml": WEB})
    assert spec.guests[0].disks == text.guests[0].disks
    assert (spec.host, spec.images[0].source) == (text.host, text.images[0].source)


def test_relative_paths_are_taken_from_the_directory(
    spec_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = changed(HOST, "/srv/images/", "images/") + "template: t/guest.xml\n"
    (spec_dir / "host.yaml").write_text(host)
    (spec_dir / "t").mkdir()
    (spec_dir / "t/guest.xml").write_text(TEMPLATE)
    monkeypatch.chdir(spec_dir.parent)
    spec = load(spec_dir.name, ReadOnlyDoor())
    assert spec.images[0].source == f"{spec_dir}/images/rocky9.raw.zst"
    assert spec.template == TEMPLATE
    assert spec.template_file.endswith("/t/guest.xml")
    assert spec.template_file in spec.trusted
    assert str(spec.guests[0].place) == f"{spec_dir.name}/guests/web.yaml:1:1"


def test_an_empty_directory(tmp_path: Path) -> None:
    missing = "DIR/host.yaml:1:1: there is no such file (kvmkeep init writes one)"
    assert told(tmp_path) == missing
    assert told(tmp_path / "no") == missing


@pytest.mark.parametrize("name", ["host.yml", "host.json"])
def test_a_host_file_whose_name_ends_otherwise(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(HOST)
    assert told(tmp_path) == (
        f"DIR/host.yaml:1:1: there is no such file (there is {name}: its name must end in .yaml)"
    )


def test_a_host_without_guests(spec_dir: Path) -> None:
    (spec_dir / "guests/web.yaml").unlink()
    (spec_dir / "guests").rmdir()
    assert load(str(spec_dir), ReadOnlyDoor()).guests == ()


def test_things_that_are_no_files(spec_dir: Path) -> None:
    (spec_dir / "guests/a.yaml").mkdir()
    (spec_dir / "guests/b.yaml").symlink_to("nowhere")
    assert told(spec_dir) == (
        "DIR/guests/a.yaml:1:1: the file can't be read: it is not a regular file\n"
        "DIR/guests/b.yaml:1:1: the file can't be read: it is not a regular file"
    )


def test_things_that_are_no_directories(spec_dir: Path) -> None:
    (spec_dir / "guests/web.yaml").unlink()
    (spec_dir / "guests").rmdir()
    (spec_dir / "guests").write_text("")
    assert told(spec_dir) == "DIR/guests:1:1: this is not a directory"
    assert told(spec_dir / "host.yaml") == "DIR:1:1: this is not a directory"
    (spec_dir / "guests").unlink()
    (spec_dir / "guests").symlink_to(spec_dir / "empty")
    (spec_dir / "empty").mkdir()
    assert load(str(spec_dir), ReadOnlyDoor()).guests == ()


@pytest.mark.parametrize("target", ["/nowhere/guests", "host.yaml"])
def test_a_link_to_guests_that_leads_to_no_directory(spec_dir: Path, target: str) -> None:
    (spec_dir / "guests/web.yaml").unlink()
    (spec_dir / "guests").rmdir()
    (spec_dir / "guests").symlink_to(target)
    wrong = (
        "this link leads to no directory (mount the filesystem that it leads to, or correct "
        "the link)"
    )
    assert told(spec_dir) == f"DIR/guests:1:1: {wrong}"
    (spec_dir / "other").symlink_to("/nowhere/kvmkeep")
    assert told(spec_dir / "other") == f"DIR:1:1: {wrong}"
    (spec_dir / "guests").unlink()
    (spec_dir / "guests").symlink_to("guests")
    assert "DIR/guests:1:1: the directory can't be read: Too many levels" in told(spec_dir)


def test_a_host_file_that_is_none(spec_dir: Path) -> None:
    (spec_dir / "host.yaml").unlink()
    (spec_dir / "host.yaml").mkdir()
    line = "DIR/host.yaml:1:1: the file can't be read: it is not a regular file"
    assert told(spec_dir) == line
    (spec_dir / "host.yaml").rmdir()
    (spec_dir / "host.yaml").symlink_to("/dev/null")
    assert told(spec_dir) == line


def test_what_may_not_be_read(spec_dir: Path) -> None:
    for name in ("guests/web.yaml", "guests", "host.yaml"):
        path = f"{spec_dir}/{name}"
        with pytest.raises(Unready, match=re.escape(f"{path} can't be read: permission denied")):
            load(str(spec_dir), ReadOnlyDoor(denied=path))
    (spec_dir / "host.yaml").write_text(f"{HOST}template: {spec_dir}/t.xml\n")
    with pytest.raises(Unready, match="permission denied") as caught:
        load(str(spec_dir), ReadOnlyDoor(denied=f"{spec_dir}/t.xml"))
    assert caught.value.exit_code == 5
    assert caught.value.hint == "run it as root"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("guests", "DIR/guests:1:1: the directory can't be read: Input/output error"),
        ("host.yaml", "DIR/host.yaml:1:1: the file can't be read: Input/output error"),
        (
            "t.xml",
            "DIR/host.yaml:10:11: template: the file DIR/t.xml can't be read: Input/output error",
        ),
    ],
)
def test_a_disk_that_fails(spec_dir: Path, name: str, line: str) -> None:
    (spec_dir / "host.yaml").write_text(f"{HOST}template: t.xml\n")
    (spec_dir / "t.xml").write_text(TEMPLATE)
    broken = ReadOnlyDoor(denied=f"{spec_dir}/{name}", error=OSError(5, "Input/output error"))
    assert line in told(spec_dir, broken).split("\n")


def test_a_huge_file_is_not_read_whole(spec_dir: Path) -> None:
    (spec_dir / "guests/web.yaml").write_bytes(b"#" * (2 << 20))
    door = ReadOnlyDoor()
    assert told(spec_dir, door) == "DIR/guests/web.yaml:1:1: the file is larger than 1 MiB"
    assert {limit for _, limit in door.asked} == {(1 << 20) + 1}


def template(text: str | None, name: str = "t.xml") -> str:
    files = {"host.yaml": f"{HOST}template: {name}\n"}
    return load_text(files if text is None else files | {name: text}).template


def test_a_template_of_the_site() -> None:
    assert template(TEMPLATE) == TEMPLATE
    assert template(TEMPLATE, "/srv/t.xml") == TEMPLATE


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "host.yaml:10:11: template: there is no file /etc/kvmkeep/t.xml"),
        ("", "/etc/kvmkeep/t.xml:1:1: this is not XML: no element found"),
        ("<domain>\n  </dom>\n", "/etc/kvmkeep/t.xml:2:5: this is not XML: mismatched tag"),
        ("<!-- %CHANGEME-OLD% -->\n<network><domain/></network>",
         "/etc/kvmkeep/t.xml:2:1: its root element is <network>, not <domain>"),
        ("<!-- %CHANGEME-OLD% -->\n<domain>\n <name>%CHANGEME-NAME%</name></domain>",
         "/etc/kvmkeep/t.xml:3:8: unknown placeholder %CHANGEME-NAME% (known: "
         "%CHANGEME-BRIDGE-NAME%, %CHANGEME-NUM-CPUS%, %CHANGEME-RAM-SIZE%, %CHANGEME-VM-NAME%)"),
        ("<!DOCTYPE domain [<!ENTITY b 'c'>]>\n<domain/>",
         "/etc/kvmkeep/t.xml:1:1: a DOCTYPE is not used here (remove it)"),
        ("\udcff", "/etc/kvmkeep/t.xml:1:1: this is not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_template_with_mistakes(text: str | None, line: str) -> None:
    with pytest.raises(SpecError) as caught:
        template(text)
    assert caught.value.message == line


def test_an_entity_bomb_is_not_expanded() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 50}">' for n in range(1, 30))
    bomb = f'<!DOCTYPE a [<!ENTITY e0 "x">{entities}]>\n<a>&e29;</a>'
    with pytest.raises(SpecError, match="DOCTYPE"):
        template(bomb)


def test_guests_come_in_the_order_of_their_names() -> None:
    files = {"host.yaml": HOST, "guests/a.yaml": f"{BARE}name: z\n", "guests/b.yaml": BARE}
    assert [guest.name for guest in load_text(files).guests] == ["b", "z"]
