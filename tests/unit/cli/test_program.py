"""The whole program in a process of its own: descriptors, locales, and what it imports."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kvmkeep import __version__

SLOW = {"rich", "yaml", "msgspec", "libvirt", "json", "dataclasses", "subprocess", "shutil"}


def test_version(program: Callable) -> None:
    assert program("--version").out == f"kvmkeep {__version__}\n"


def test_help_imports_nothing_slow(program: Callable) -> None:
    done = program("--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    names = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "argparse" in names
    assert {name.partition(".")[0] for name in names} & SLOW == set()


def test_help_of_a_verb_imports_nothing_slow(program: Callable) -> None:
    done = program("plan", "--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.err.splitlines()}
    assert names & {"rich", "yaml", "libvirt", "subprocess"} == set()


@pytest.mark.parametrize("words", [("--help",), ("completion", "bash"), ("list", "--help")])
def test_a_reader_that_went_away_is_no_error_message(
    program: Callable, words: tuple[str, ...]
) -> None:
    done = program(*words, then="| true; echo ${PIPESTATUS[0]} >&2")
    assert done.err in {"0\n", "141\n"}


@pytest.mark.parametrize("shell", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_closed_descriptors_are_no_bug(program: Callable, shell: str) -> None:
    done = program("completion", "zsh", then=shell)
    assert done.code == 0
    assert "Traceback" not in done.err


def test_a_full_disk_is_told(program: Callable) -> None:
    done = program("completion", "bash", then="> /dev/full")
    assert done.code == 1
    assert "No space left" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "env",
    [
        {"LANG": "de_DE.UTF-8"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1", "LANG": "de_DE"},
        {"COLUMNS": "40", "NO_COLOR": "1"},
        {"TERM": "dumb"},
    ],
)
def test_no_surroundings_make_it_stumble(program: Callable, env: dict[str, str]) -> None:
    done = program("show", "grün\U0001f600\x1b[2J", env=env)
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "Nothing was touched." in done.err


@pytest.mark.parametrize("words", [("apply",), ("apply", "--json"), ("apply", "web")])
def test_apply_without_a_terminal_and_without_yes_is_refused(
    program: Callable, words: tuple[str, ...]
) -> None:
    done = program(*words, "--spec", "/nonexistent")
    assert done.code == 2
    assert "--yes" in done.err
    assert "Nothing was touched." in done.err


@pytest.mark.parametrize("name", ["-rf", "..", "a" * 300, "a\nb", "", "a b", "$(id)"])
def test_a_name_that_is_none_is_refused_before_anything_else(program: Callable, name: str) -> None:
    done = program("show", "--spec", "/nonexistent", "--", name)
    assert done.code == 2
    assert len(done.err) < 400


def test_the_console_needs_a_terminal(program: Callable) -> None:
    done = program("console", "web")
    assert done.code == 2
    assert "console --log web" in done.err


def test_the_completion_scripts_are_scripts(program: Callable, tmp_path) -> None:  # noqa: ANN001
    script = tmp_path / "completion"
    script.write_text(program("completion", "bash").out)
    line = f". {script}; COMP_WORDS=(kvmkeep pl); COMP_CWORD=1; _kvmkeep; echo ${{COMPREPLY[*]}}"
    assert program("--version", then=f"; {line}").out.split() == ["kvmkeep", __version__, "plan"]


def test_completion_never_expands_a_domains_name(program: Callable, tmp_path) -> None:  # noqa: ANN001
    script = tmp_path / "completion"
    script.write_text(program("completion", "bash").out)
    fake = tmp_path / "kvmkeep"
    fake.write_text(f"#!/bin/bash\necho 'web'\necho '$(touch {tmp_path}/owned)'\n")
    fake.chmod(0o755)
    line = (
        f"PATH={tmp_path}:$PATH; . {script}; COMP_WORDS=(kvmkeep show ''); COMP_CWORD=2;"
        ' _kvmkeep; printf "%s;" "${COMPREPLY[@]}"'
    )
    assert program("--version", then=f"; {line}").out.endswith(f"web;$(touch {tmp_path}/owned);")
    assert not (tmp_path / "owned").exists()
