from __future__ import annotations

import pytest
from fakes.guestfish import split
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.model.guestfish import line, quoted, script


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("/etc/fstab", '"/etc/fstab"'),
        ("", '""'),
        ('a "b" \\ $(reboot) `x` | ; # !', r'"a \x22b\x22 \x5c $(reboot) `x` | ; # !"'),
        ("two\nlines\t", r'"two\x0alines\x09"'),
        ("ü", r'"\xc3\xbc"'),
        (b"\xff", r'"\xff"'),
    ],
)
def test_a_word_is_quoted_so_that_nothing_in_it_is_special(word: str | bytes, shown: str) -> None:
    assert quoted(word) == shown


@given(st.binary())
def test_what_is_quoted_is_one_line_and_comes_back(word: bytes) -> None:
    text = line("write", "/x", word)
    assert "\n" not in text
    assert text.isascii()
    assert split(text)[2].encode("latin-1") == word


def test_a_script_ends_with_a_newline() -> None:
    assert script(("a", "b")) == b"a\nb\n"
