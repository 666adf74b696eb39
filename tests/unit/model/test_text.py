"""Foreign text: masked where it is kept, written as escapes where it is shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.model.text import (
    escaped,
    escaped_name,
    lines_of,
    masked,
    masked_lines,
    one_line,
    printable,
)

EVIL = "\x1b[2J\x9b\u202e\r\n\0\x7fx"
ANY = st.text(st.characters(exclude_categories=()))


@given(ANY)
def test_nothing_foreign_gets_to_a_terminal(text: str) -> None:
    assert masked(text).isprintable()
    assert masked_lines(text).replace("\n", "").isprintable()
    assert printable(text).isprintable()
    assert escaped_name(text).isprintable()
    for shown in (*lines_of(text), one_line(text), escaped(text)):
        assert not set(shown) & {*map(chr, range(9)), "\x1b", "\r", "\x7f", "\x9b", "\u202e"}


def test_what_is_kept_is_masked() -> None:
    assert masked(EVIL) == "?[2J??????x"
    assert masked("a\tb\nc", 4) == "a?b?"
    assert masked_lines("a\tb\n\x1bc\r\n") == "a?b\n?c?\n"


def test_the_name_of_a_file_is_itself_where_it_can_be_printed() -> None:
    assert escaped_name("wéb.yaml") == "wéb.yaml"
    assert escaped_name("w\xe9b\n") == "w\\xe9b\\n"


def test_foreign_text_is_shown_bounded_and_without_control_characters() -> None:
    assert printable("web") == "'web'"
    assert printable("\x1b[31mä\n") == "'\\x1b[31m\\xe4\\n'"
    assert printable("a" * 60) == f"'{'a' * 60}'"
    assert printable("a" * 61) == f"'{'a' * 57}...'"


def test_evil_text_is_shown_as_escapes() -> None:
    assert one_line(EVIL) == "\\x1b[2J\\x9b\\u202e  \\x00\\x7fx"
    assert lines_of("10 %\r20 %\r\n\n\x1b[1mdone\n") == ["10 %", "20 %", "\\x1b[1mdone"]


def test_control_characters_are_written_as_escapes() -> None:
    assert escaped("a\u061c\u2028") == "a\\u061c\\u2028"
    assert escaped("a\x1b[2Jb\r\x9b\u202e\tc\n") == "a\\u001b[2Jb\\u000d\\u009b\\u202e\tc\n"
