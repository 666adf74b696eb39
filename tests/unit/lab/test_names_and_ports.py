"""Names, ports, packages and places: what is refused, and with which words."""

from __future__ import annotations

import json
import socket
import subprocess  # noqa: TID251 - a second process
import sys
from pathlib import Path

import pytest

from lab import accel, machine, packages, qemu, state
from lab.cli import main
from lab.errors import LabError


@pytest.mark.parametrize("name", ["default", "a", "0", "labdev-2", "x" * 32])
def test_plain_names_are_taken(name: str) -> None:
    assert machine.Lab(name).name == name


@pytest.mark.parametrize(
    "name",
    ["", "-rf", "..", "a/b", "a b", "A", "lab\n", "x" * 33, "ä", "a\0b", "%h", "_a"],
)
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(LabError, match="can't be the name of a lab") as caught:
        machine.Lab(name)
    assert "lower-case letters, digits and hyphens" in caught.value.hint


def test_a_state_directory_too_long_for_sockets_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVMKEEP_LAB_STATE", str(tmp_path / ("d" * 80)))
    with pytest.raises(LabError, match="too long for sockets") as caught:
        machine.Lab("a")
    assert "KVMKEEP_LAB_STATE" in caught.value.hint


def test_a_taken_port_is_refused_and_a_free_one_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LabError, match=f"port {port} on 127.0.0.1 is taken") as caught:
            qemu.demand_port(port)
        assert "leave --ssh-port out" in caught.value.hint
    qemu.demand_port(qemu.free_port())


def test_a_missing_program_is_told_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    need = packages.Need("no-such-program-anywhere", "no-such-package")
    monkeypatch.setattr(packages, "NEEDS", (*packages.NEEDS, need, need))
    assert "no-such-package" in packages.requirements()
    with pytest.raises(LabError, match="missing") as caught:
        packages.demand_packages()
    assert caught.value.hint.startswith("apt-get install ")
    assert caught.value.hint.split().count("no-such-package") == 1


def test_packages_are_printed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["packages"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"mmdebstrap", "qemu-system-x86", "openssh-client", "grub-pc-bin"} <= set(lines)
    assert lines == sorted(set(lines))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--", "true"], "there is no lab 'default'"),
        (["shell", "--name", "x"], "python3 -m lab up --name x"),
        (["run", "--name", "x"], "run needs a command"),
        (["copy", "a", "b"], "must begin with lab:"),
        (["copy", "lab:a", "lab:b"], "must begin with lab:"),
        (["copy", "a", "lab:a", "b"], "must begin with lab:"),
        (["boot", "--name", "../x"], "can't be the name of a lab"),
        (["log"], "there is no lab 'default'"),
    ],
)
def test_mistakes_end_with_1_and_a_hint(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    text = capsys.readouterr().err
    assert said in text
    assert "hint" in text


def test_taking_down_what_is_not_there_is_fine_and_leaves_nothing(state_root: Path) -> None:
    assert main(["down"]) == 0
    assert not state_root.exists()
    assert main(["list"]) == 0
    assert list(state_root.iterdir()) == []


def test_the_name_of_the_lab_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KVMKEEP_LAB_NAME", "other")
    assert main(["run", "true"]) == 1
    assert "there is no lab 'other'" in capsys.readouterr().err


def test_an_unknown_accelerator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    accel.accelerator.cache_clear()
    monkeypatch.setenv("KVMKEEP_LAB_ACCEL", "hvf")
    with pytest.raises(LabError, match="KVMKEEP_LAB_ACCEL is 'hvf'") as caught:
        accel.accelerator()
    assert "kvm or tcg" in caught.value.hint


def test_a_state_whose_process_number_was_given_to_another_is_not_running() -> None:
    made = state.new_state("web")
    made.pid = 1
    made.save()
    read = state.load_state("web")
    assert read == made
    assert not read.is_running()
    assert state.all_states() == [made]
    made.remove()
    assert state.load_state("web") is None
    assert not Path(made.disks).exists()


LARGE_AND_LISTENING = """
import mmap, signal, socket
server = socket.create_server(("127.0.0.1", 0))
memory = mmap.mmap(-1, 2**29)
for place in range(0, 2**29, 4096):
    memory[place] = 1
print(server.getsockname()[1], flush=True)
signal.pause()
"""


def test_after_a_cut_the_port_is_free_even_if_the_machine_had_much_memory() -> None:
    made = state.new_state("web")
    with subprocess.Popen(
        [sys.executable, "-c", LARGE_AND_LISTENING, "kvmkeep-lab-web"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        made.pid = process.pid
        qemu.power_off(made)
        qemu.demand_port(port)
    made.remove()


def test_a_state_that_cannot_be_read_is_told_with_what_to_do(state_root: Path) -> None:
    place = state_root / "web"
    place.mkdir(parents=True)
    for text in ("{", json.dumps({"name": "web"}), json.dumps([1])):
        (place / "lab.json").write_text(text)
        with pytest.raises(LabError, match="can't be read") as caught:
            state.load_state("web")
        assert caught.value.hint == f"remove {place}"


def test_two_labs_share_no_path_no_name_and_no_disk() -> None:
    first, second = state.new_state("one"), state.new_state("two")
    base = Path("/base")
    first.accelerator = second.accelerator = "tcg"
    words = [set(qemu.command_line(made, base)) for made in (first, second)]
    common = " ".join(words[0] & words[1])
    for made in (first, second):
        assert str(made.place) not in common
        assert made.disks not in common
        assert f"kvmkeep-lab-{made.name}" not in common
