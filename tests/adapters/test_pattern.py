"""grep itself says which regular expressions it takes (grep(1), "-E")."""

from __future__ import annotations

import subprocess  # noqa: TID251 - grep itself

import pytest

from kvmkeep.spec.pattern import flaw

TAKEN = (
    "login: $", "^(a|b){1,2} [[:digit:]]+$", "a)", "[]a]", "[^]a]", "[a-]", "[+--]", "[^^-]", "*a",
    "a{,}", "a{3,}", "a{,3}", r"\[", r"(a)\1", "[[a]", "a{", "()", "[a-c[:space:]-]",
)  # fmt: skip
REFUSED = (
    "[", "[]", "[^]", "(a", "((a)", "(+)", "(*", "({1}", "a{2,1}", "a{99999}", "a{}", "a\\",
    r"a\1", r"(a\1)", "[z-a]", "[[:foo:]]", "[:alpha:]", "[a-c-z]", "[[:digit:]-9]", "[[.a]",
)  # fmt: skip


def taken(pattern: str) -> bool:
    argv = ["/usr/bin/grep", "-aqsE", "-e", pattern, "--", "/dev/null"]
    done = subprocess.run(
        argv, check=False, capture_output=True, timeout=60, env={"LC_ALL": "C.UTF-8"}
    )
    return done.returncode == 1


@pytest.mark.machine
@pytest.mark.parametrize("pattern", TAKEN)
def test_what_grep_takes_is_taken(pattern: str) -> None:
    assert flaw(pattern) == ""
    assert taken(pattern)


@pytest.mark.machine
@pytest.mark.parametrize("pattern", REFUSED)
def test_what_grep_refuses_is_refused(pattern: str) -> None:
    assert flaw(pattern)
    assert not taken(pattern)


def test_what_only_perl_understands_is_refused() -> None:
    assert flaw("(?:a|b)") == "(? repeats nothing"
