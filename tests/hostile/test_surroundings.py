"""The real program in odd surroundings: narrow or no terminals, closed streams, foreign locales.

The unit tests of the command line do this for verbs that read nothing. Here are the verbs that
read a spec and facts and write what they found there, down to letters that a locale lacks.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess  # noqa: TID251 - the whole program is what is tested
import sys
import termios
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from kvmkeep.report.json import facts_json
from tests.unit.cli.site import Site

ROOT = Path(__file__).parents[2]
NARROW = 40
LOCALES = [
    {"LANG": "de_DE.UTF-8"},
    {"LC_ALL": "tr_TR"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
    {"LANG": "nonsense", "LC_ALL": "../../etc"},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The program with a spec and facts at hand."""

    spec: str
    facts: str

    def argv(self, words: str) -> list[str]:
        argv = [sys.executable, "-W", "error", "-m", "kvmkeep"]
        return [*argv, *words.replace("FACTS", self.facts).replace("SPEC", self.spec).split()]

    def environment(self, env: dict[str, str] | None = None) -> dict[str, str]:
        base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm"}
        return {**base, **(env or {})}

    def run(
        self, words: str, *, env: dict[str, str] | None = None, then: str = ""
    ) -> subprocess.CompletedProcess[bytes]:
        argv = self.argv(words)
        if then:
            argv = ["bash", "-c", f'"$@" {then}', "bash", *argv]
        return subprocess.run(
            argv, env=self.environment(env), stdin=subprocess.DEVNULL, capture_output=True,
            check=False, timeout=60,
        )  # fmt: skip

    def on_terminal(self, words: str, columns: int) -> tuple[int, str]:
        """Run it on a terminal of so many columns; return its exit code and all it wrote."""
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
        child = subprocess.Popen(
            self.argv(words), env=self.environment(), stdin=its, stdout=its, stderr=its,
            start_new_session=True,
        )  # fmt: skip
        os.close(its)
        said = bytearray()
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # EIO: nobody has the other side any more
                break
            if not more:
                break
            said += more
        os.close(ours)
        return child.wait(60), said.decode().replace("\r\n", "\n")


PLAN = "plan --facts FACTS --spec SPEC"
LINES = [
    ("validate --spec SPEC", 0),
    (PLAN, 0),
    (f"{PLAN} --json", 0),
    (f"{PLAN} --script", 0),
    (f"{PLAN} --exit-code", 9),
    (f"{PLAN} nobody", 2),
    ("validate --spec SPEC/guests", 3),
    ("list --connect qemu+unix:///system?socket=/nonexistent --spec SPEC", 5),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    directory = tmp_path_factory.mktemp("surroundings")
    site = Site(directory)
    guest = Path(site.spec_dir, "guests/web.yaml")
    text = guest.read_text() + 'description: "Größe → 猫 \U0001f600 İı"\n'
    guest.write_text(text, encoding="utf-8")
    facts = directory / "facts.json"
    facts.write_text(facts_json(site.observe(None)), encoding="utf-8")
    return Program(spec=site.spec_dir, facts=str(facts))


@cache
def plain_run(program: Program, words: str) -> subprocess.CompletedProcess[bytes]:
    """Run it where nothing is odd."""
    return program.run(words, env={"LC_ALL": "C.UTF-8"})


@pytest.mark.parametrize("env", LOCALES, ids=lambda env: " ".join(env.values()))
@pytest.mark.parametrize(("words", "code"), LINES)
def test_no_locale_changes_what_is_done(
    program: Program, words: str, code: int, env: dict[str, str]
) -> None:
    done = program.run(words, env=env)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"bug in kvmkeep" not in done.stderr
    plain = plain_run(program, words)
    assert done.stdout.isascii() or done.stdout == plain.stdout
    if "--json" in words:
        assert json.loads(done.stdout) == json.loads(plain.stdout)
    if code:
        assert b"Nothing was touched." in done.stderr or code == 9


@pytest.mark.parametrize("words", ["validate --spec SPEC", PLAN, f"{PLAN} --json", "list --help"])
@pytest.mark.parametrize("then", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_bug(program: Program, words: str, then: str) -> None:
    done = program.run(words, then=then)
    assert done.returncode == 0, done.stderr
    assert done.stderr in {b"", plain_run(program, words).stderr}


@pytest.mark.parametrize("words", [PLAN, f"{PLAN} --json", f"{PLAN} --script"])
def test_what_can_not_be_written_is_told(program: Program, words: str) -> None:
    done = program.run(words, then="> /dev/full")
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("words", [PLAN, f"{PLAN} --json", f"{PLAN} --script", "schema"])
def test_a_reader_that_left_is_no_error(program: Program, words: str) -> None:
    done = program.run(words, then="| true; exit ${PIPESTATUS[0]}")
    assert done.returncode in {0, 141}
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [(PLAN, 0), (f"{PLAN} nobody", 2), ("validate --spec SPEC", 0), ("list --help", 0)],
)
def test_a_narrow_terminal_is_not_written_over(program: Program, words: str, code: int) -> None:
    """A path or name that is longer than the line is the only thing that may stick out."""
    ended, said = program.on_terminal(words, NARROW)
    assert ended == code, said
    assert "Traceback" not in said
    for line in said.splitlines():
        words_of_line = line.split()
        assert len(line) <= NARROW or max(map(len, words_of_line)) > NARROW / 2, line


def test_a_tiny_terminal(program: Program) -> None:
    for columns in (0, 1, 5):
        ended, said = program.on_terminal(PLAN, columns)
        assert ended == 0, said
        assert "vm-web" in said


def test_a_question_nobody_can_answer_is_not_asked(program: Program) -> None:
    done = program.run("apply --spec SPEC", then="<&-")
    assert done.returncode == 2
    assert b"--yes" in done.stderr
