"""The script runs what the executor runs: both against programs that note how they were called."""

from __future__ import annotations

import os
import shutil
import subprocess  # noqa: TID251 - bash itself
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from kvmkeep.apply.executor import apply_plan
from kvmkeep.host.environment import PATH, environment
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.host.run import Setting
from kvmkeep.model.command import Checkpoint, Command, Poll, Undo, WriteFile
from kvmkeep.model.plan import Plan, Refusal
from kvmkeep.report.script import holds_secrets, plan_script
from kvmkeep.report.shell_words import shell_line
from tests.unit.apply.scripted import MemoryFolder, RecordingUi, command, new_journal, step

pytestmark = pytest.mark.machine

FAKE = """\
#!{python} -IS
import os, sys
here = os.path.dirname(os.path.abspath(sys.argv[0]))
name = os.path.basename(sys.argv[0])
given = sys.stdin.buffer.read()
with open(here + "/log", "ab") as log:
    log.write(repr(([name, *map(os.fsencode, sys.argv[1:])], given)).encode() + b"\\n")
with open(here + "/log", "rb") as log:
    called = sum(line.startswith(("(['" + name).encode()) for line in log)
if name == "probe":
    sys.exit(5)
if name == "ask":
    print("  yes it is \\t")
if name == "answer":
    print("written")
if name == "fail" or name == "later" and called < 3:
    sys.exit(1)
if name == "busctl" and "CheckpointCreate" in sys.argv:
    print('o "/org/freedesktop/NetworkManager/Checkpoint/1"')
"""
UNDO = Undo(
    arm=(command("act arm"),), after=75, run=command("act undo"), disarm=(command("act disarm"),),
    settle=command("act reload"),
)  # fmt: skip
NAMES = (
    "act", "probe", "ask", "answer", "later", "busctl", "nmcli", "fail", "never", "systemd-run",
)  # fmt: skip


class Bench:
    """A directory with fake programs, and what they noted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir(parents=True)
        for name in NAMES:
            (self.bin / name).write_text(FAKE.format(python=sys.executable))
            (self.bin / name).chmod(0o755)

    def log(self) -> list[str]:
        """Return what was run; what waits for the end of kvmkeep is nothing for a script."""
        file = self.bin / "log"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if "systemd-run" not in line]

    def bash(
        self, plan: Plan, inherited: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        file = self.root / "script"
        file.write_text(plan_script(plan))
        path = f"{self.bin}:/usr/bin:/bin"
        return subprocess.run(
            ["/bin/bash", str(file)],
            env={"PATH": path, **(inherited or {})},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.PIPE,
        )

    def apply(self, plan: Plan) -> bool:
        setting = Setting(environment=environment((str(self.bin), *PATH)), tick=0.02)
        door = MachineDoor(setting)
        return apply_plan(plan, door, new_journal(MemoryFolder()), RecordingUi()).ok


@pytest.fixture
def benches(tmp_path: Path) -> tuple[Bench, Bench]:
    return Bench(tmp_path / "bash"), Bench(tmp_path / "apply")


AWKWARD = (
    "it's",
    "",
    "two words",
    "$HOME `id`",
    "new\nline",
    "tab\t",
    "\x1b[31m",
    "*",
    "ünï",
    "\\n",
)
TEXT = b"first line\n$HOME `id` $(id) \\\nEND\nEND_\n\n\ttab  \n"
BINARY = bytes(range(256)) * 20


def plan_in(root: str) -> Plan:
    return Plan(
        steps=(
            step(
                "say 'hello'; exit 1\nrm -rf /",
                Command(argv=("act", *AWKWARD), why="odd\nwhy"),
                Command(argv=("act", "text"), why="w", stdin=TEXT),
                Command(argv=("act", "no end of line"), why="w", stdin=b"secret", secret_stdin=True),
                Command(argv=("act", "binary"), why="w", stdin=BINARY),
                Command(argv=("act", "escapes"), why="w", stdin=b"\x1b[2J\n"),
                probe=Command(argv=("probe", "a"), why="w", ok=(5,)),
            ),
            step(
                "answers",
                Command(argv=("ask", "1"), why="w", expect="yes it is"),
                Command(argv=("ask", "2"), why="w", expect="yes it is", stdin=TEXT),
                Command(argv=("fail", "1"), why="w", ok=(0, 1)),
                Command(argv=("fail", "2"), why="w", ok=(1,), stdin=TEXT),
                Command(argv=("answer",), why="w", stdout_to=f"{root}/new/it's out"),
                Command(argv=("answer",), why="w", stdout_to=f"{root}/new/two", ok=(0, 3), stdin=TEXT),
                probe=Command(argv=("ask", "0"), why="w", expect="yes it is"),
            ),
            step(
                "files",
                WriteFile(path=f"{root}/a/b/text", content=TEXT, why="w", mode=0o644),
                WriteFile(path=f"{root}/a/bin", content=BINARY, why="w", dir_mode=0o700),
                WriteFile(path=f"{root}/a/empty", content=b"", why="w"),
                WriteFile(path=f"{root}/a/bare", content=b"no end", why="w", mode=0o400),
            ),
            step(
                "wait",
                Poll(
                    command=Command(argv=("later", "x y"), why="w"),
                    limit=20, every=0.01, message="it", otherwise="Look.",
                ),
                Poll(
                    command=Command(argv=("ask", "3"), why="w", expect="yes it is"),
                    limit=20, every=0.01, message="it",
                ),
            ),
            step(
                "network",
                Checkpoint(undo=UNDO,
                    devices=("/d/1", "/d/2"), timeout=30, why="w",
                    body=(Command(argv=("nmcli", "add"), why="w"),),
                    verify=(Poll(command=Command(argv=("act", "up"), why="w"), limit=9, message="m"),),
                ),
            ),
        )
    )  # fmt: skip


def files_below(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mode,
        )
        for path in root.rglob("*")
    }


def test_the_script_calls_the_same_programs_and_writes_the_same_files(
    benches: tuple[Bench, Bench],
) -> None:
    by_hand, by_us = benches
    for bench in benches:
        (bench.root / "out").mkdir()
    done = by_hand.bash(plan_in(f"{by_hand.root}/out"))
    assert done.returncode == 0, done.stderr
    assert by_us.apply(plan_in(f"{by_us.root}/out"))
    assert by_hand.log() == by_us.log()
    assert len(by_us.log()) > 15
    left = files_below(by_hand.root / "out")
    assert left == files_below(by_us.root / "out")
    assert left["new/it's out"][0] == b"written\n"
    assert left["a/bin"][0] == BINARY
    assert not [name for name in left if name.endswith(".part")]


BAD: dict[str, tuple[object, ...]] = {
    "a command fails": (command("act 1"), command("fail"), command("never")),
    "an answer is another": (command("ask", expect="no"), command("never")),
    "an exit code is not accepted": (command("fail", ok=(0, 2)), command("never")),
    "an output fails": (command("fail", stdout_to="/tmp/kvmkeep-no/x"), command("never")),
    "a poll fails": (
        Poll(command=command("fail"), limit=1, every=0.3, message="m"),
        command("never"),
    ),
    "the network fails": (
        Checkpoint(undo=UNDO,
            devices=("/d",), timeout=30, why="w", verify=(),
            body=(command("nmcli up"), command("fail"), command("never")),
        ),
        command("never"),
    ),
    "the network does not come up": (
        Checkpoint(undo=UNDO,
            devices=("/d",), timeout=30, why="w",
            body=(command("nmcli up"),),
            verify=(Poll(command=command("fail"), limit=1, every=0.3, message="m"),),
        ),
        command("never"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_the_script_stops_where_the_executor_stops(benches: tuple[Bench, Bench], name: str) -> None:
    by_hand, by_us = benches
    plan = Plan(steps=(step("one", *BAD[name]), step("two", command("never"))))
    assert by_hand.bash(plan).returncode != 0
    assert not by_us.apply(plan)
    logs = [[line for line in one.log() if line.startswith("(['")] for one in benches]
    if "poll" in name or "come up" in name:
        logs = [list(dict.fromkeys(log)) for log in logs]  # the number of tries is a matter of time
    assert logs[0] == logs[1]
    assert not any("never" in line for line in logs[0])
    undone = [line for line in logs[0] if "undo" in line or "CheckpointDestroy" in line]
    assert len(undone) == (2 if "network" in name else 0)


def test_a_changed_host_stops_the_script_before_the_step(benches: tuple[Bench, Bench]) -> None:
    by_hand, by_us = benches
    plan = Plan(steps=(step("one", command("never"), probe=command("probe")),))
    done = by_hand.bash(plan)
    assert done.returncode == 7
    assert "the host has changed" in done.stderr
    assert not by_us.apply(plan)
    assert by_hand.log() == by_us.log()


def test_the_script_talks_to_this_hosts_libvirt_whatever_the_shell_says(tmp_path: Path) -> None:
    line = f'echo "$LIBVIRT_DEFAULT_URI ${{VIRSH_DEFAULT_CONNECT_URI-}}" >{tmp_path}/seen'
    names = ("LIBVIRT_DEFAULT_URI", "VIRSH_DEFAULT_CONNECT_URI")
    plan = Plan(steps=(step("look", Command(argv=("sh", "-c", line), why="w")),))
    Bench(tmp_path).bash(plan, dict.fromkeys(names, "qemu:///session"))
    assert (tmp_path / "seen").read_text() == "qemu:///system \n"


def test_ctrl_c_in_the_network_change_rolls_it_back(benches: tuple[Bench, Bench]) -> None:
    by_hand, _ = benches
    body = (
        Command(argv=("/bin/sh", "-c", "kill -INT $PPID; sleep 0.2"), why="w"),
        command("never"),
    )
    change = Checkpoint(undo=UNDO, devices=("/d",), timeout=30, why="w", verify=(), body=body)
    done = by_hand.bash(Plan(steps=(step("one", change),)))
    assert done.returncode == 130
    for word, line in zip(("undo", "CheckpointDestroy", "reload"), by_hand.log()[-3:], strict=True):
        assert word in line
    assert not any("never" in line for line in by_hand.log())


def test_steps_on_an_assumption_are_only_shown(benches: tuple[Bench, Bench]) -> None:
    by_hand, _ = benches
    later = step("boot it", command("never"), assumes="the image has cloud-init")
    plan = Plan(steps=(step("look", command("act 1")), later))
    done = by_hand.bash(plan)
    assert done.returncode == 0
    assert "kvmkeep plan --script" in done.stderr
    assert len(by_hand.log()) == 1
    assert "boot it" in plan_script(plan)


def test_the_script_of_a_refused_plan_runs_nothing(benches: tuple[Bench, Bench]) -> None:
    by_hand, _ = benches
    refusal = Refusal(subject="guest a", reason="no room\nrm -rf /", hint="")
    plan = Plan(steps=(step("one", command("never")),), refusals=(refusal,))
    assert by_hand.bash(plan).returncode == 4
    assert by_hand.log() == []
    assert "no room" in plan_script(plan)


def test_an_empty_plan_is_a_script_that_does_nothing(benches: tuple[Bench, Bench]) -> None:
    assert benches[0].bash(Plan()).returncode == 0


def test_the_script_says_when_it_holds_secrets() -> None:
    secret = Command(argv=("chpasswd",), why="w", stdin=b"x:y\n", secret_stdin=True)
    poll = Poll(command=secret, limit=1, message="m")
    change = Checkpoint(undo=UNDO, devices=(), timeout=1, body=(), verify=(poll,), why="w")
    file = WriteFile(path="/f", content=b"x", why="w", secret=True)
    for action in (secret, poll, change, file):
        plan = Plan(steps=(step("one", action),))
        assert holds_secrets(plan)
        assert "mode 0600" in plan_script(plan)
    plan = Plan(steps=(step("one", WriteFile(path="/f", content=b"x", why="w")),))
    assert not holds_secrets(plan)
    assert "mode 0600" not in plan_script(plan)


def test_the_same_plan_gives_the_same_script() -> None:
    assert plan_script(plan_in("/x")) == plan_script(plan_in("/x"))


def test_the_script_is_good_bash(tmp_path: Path) -> None:
    file = tmp_path / "script"
    file.write_text(plan_script(plan_in("/x")))
    assert b"\x1b" not in file.read_bytes()
    subprocess.run(["/bin/bash", "-n", str(file)], check=True)
    shellcheck = shutil.which("shellcheck")
    if shellcheck:
        # SC2317, SC2329: it takes functions behind `until` and `trap` for unused.
        # SC2016: the odd words of this test's plan are meant as they are.
        done = subprocess.run(
            [shellcheck, "--exclude=SC2317,SC2329,SC2016", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


words = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=8))
def test_any_words_pass_bash_unchanged(some: list[str]) -> None:
    line = shell_line(("/usr/bin/printf", "%s\\0", *some))
    assert not any(ord(character) < 32 or ord(character) == 127 for character in line)
    done = subprocess.run(
        ["/bin/bash", "-c", line], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout == b"".join(word.encode() + b"\0" for word in some)


def test_bytes_that_are_no_text_pass_bash_unchanged() -> None:
    odd = os.fsdecode(b"\xff\xfe1")
    done = subprocess.run(
        ["/bin/bash", "-c", shell_line(("/usr/bin/printf", "%s", odd))],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"\xff\xfe1"


@pytest.mark.parametrize("fails", [False, True])
def test_what_always_ends_a_step_ends_it_in_the_script_too(
    benches: tuple[Bench, Bench],
    fails: bool,  # noqa: FBT001
) -> None:
    actions = (command("act hold"), command("fail now" if fails else "act more"))
    ends = (command("ask runs", ok=(0, 1)), command("act let go"))
    plan = Plan(
        steps=(replace(step("hold", *actions), finally_=ends), step("next", command("never")))
    )
    by_bash, by_us = benches
    assert (by_bash.bash(plan).returncode == 0) is (not fails)
    assert by_us.apply(plan) is (not fails)
    assert by_bash.log() == by_us.log()
    assert [line.split("'")[1] for line in by_bash.log()] == (
        ["act", "fail", "ask", "act"] if fails else ["act", "act", "ask", "act", "never"]
    )
