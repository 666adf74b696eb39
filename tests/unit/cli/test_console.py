from __future__ import annotations

import io
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from fakes.stages import LibvirtStages

from kvmkeep.cli.console import Args, clean, demand_running, run
from kvmkeep.cli.context import Context
from kvmkeep.cli.streams import Streams
from kvmkeep.errors import KvmkeepError, Unready, UsageError
from kvmkeep.host.console import become, console_command
from kvmkeep.model.domain_facts import DomainState


def test_a_guests_log_can_do_nothing_to_the_terminal() -> None:
    log = b"\x1b[2J\x1b]0;title\x07boot\r\n\x1b[1;31mred\x1b[0m\x07\x9b1m\x00ok\tx\xff\x1bc\rend\n"
    said = clean(log)
    assert said.splitlines()[0] == "boot"
    assert "red" in said
    assert "title" not in said
    assert not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in said)


def test_the_console_is_virshs_with_the_name_behind_two_dashes() -> None:
    argv = console_command("qemu:///system", "web")
    assert argv[:3] == ("virsh", "--connect", "qemu:///system")
    assert argv[-2:] == ("--", "web")
    assert "console" in argv


def test_a_missing_virsh_is_told() -> None:
    with pytest.raises(Unready, match="can't be run"):
        become(("/nonexistent/virsh",))


@dataclass
class Console:
    """What the verb sees of the host: states of domains, and the files of a log."""

    state: DomainState | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    guests: tuple[str, ...] = ()

    def states(self) -> tuple[object, ...]:
        return () if self.state is None else (SimpleNamespace(name="web", state=self.state),)

    def names(self, directory: str) -> tuple[str, ...]:
        assert directory == "/spec/guests"
        return tuple(f"{name}.yaml" for name in self.guests)

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        content = self.files.get(path.rpartition("/")[2])
        return None if content is None else content[:limit]

    def context(self, err: io.StringIO | None = None, out: io.StringIO | None = None) -> Context:
        return Context(
            spec_dir="/spec", connect="qemu:///system", json=False, verbose=False, debug=False,
            streams=Streams(out, err), stages=LibvirtStages(self, self),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        (DomainState.SHUTOFF, Unready, "kvmkeep start web"),
        (None, UsageError, "kvmkeep list"),
    ],
)
def test_a_guest_that_is_off_has_nobody_at_its_console(
    state: DomainState | None, error: type[KvmkeepError], text: str
) -> None:
    with pytest.raises(error) as caught:
        demand_running("web", Console(state).context())
    assert text in caught.value.hint


def test_a_guest_of_the_spec_that_is_not_made_yet_is_no_slip_of_the_finger() -> None:
    with pytest.raises(Unready, match="web is not made yet") as caught:
        demand_running("web", Console(guests=("db", "web")).context())
    assert caught.value.hint == "kvmkeep apply web"


def test_one_that_starts_has_a_console_and_one_that_stands_still_says_nothing() -> None:
    said = io.StringIO()
    demand_running("web", Console(DomainState.RUNNING).context(said))
    assert said.getvalue() == ""
    demand_running("web", Console(DomainState.PAUSED).context(said))
    assert "kvmkeep resume web" in said.getvalue()


def log_of(lines: int = 0, **files: bytes) -> str:
    out = io.StringIO()
    names = {"old": "web-console.log.0", "new": "web-console.log"}
    console = Console(files={names[key]: content for key, content in files.items()})
    assert run(Args(guest="web", log=True, lines=lines), console.context(out=out)) == 0
    return out.getvalue()


def test_a_log_goes_on_where_virtlogd_began_a_new_file() -> None:
    assert log_of(old=b"one\ntw", new=b"o\r\nthree\r\n") == "one\ntwo\nthree\n"
    assert log_of(2, old=b"one\ntwo\n", new=b"three\n") == "two\nthree\n"
    assert log_of(old=b"one\n", new=b"") == "one\n"
    assert log_of(old=b"one\n") == "one\n"


def test_progress_on_one_line_becomes_lines() -> None:
    assert log_of(new=b"one\r\r\r\ntwo\r\r") == "one\ntwo\n\n"
    assert log_of(new=b"10 %\r20 %\r\r\nend\n") == "10 %\n20 %\nend\n"


@pytest.mark.parametrize(
    "content",
    [
        b"\x1b]" * 500_000, b"\x1b[" + b"1;" * 2_000_000, b"\x1b]0;" + b"x" * 3_000_000,
        bytes(range(256)) * 8000, b"x" * 20_000_000, b"\n" * 3_000_000, b"\xf0\x9f" * 1_000_000,
        b"\r" * 2_000_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("lines", [0, 3])
def test_hostile_bytes_are_printed_soon_and_harm_nobody(content: bytes, lines: int) -> None:
    began = time.process_time()
    said = log_of(lines, new=content)
    assert time.process_time() - began < 20
    assert not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in said)
    if lines:
        assert len(said.splitlines()) <= lines
