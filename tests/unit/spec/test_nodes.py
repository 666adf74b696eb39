"""The tree of a text: written with known places and read back, and against a second parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # noqa: TID251 - its parser in Python, as a second opinion
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.errors import Unready
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import Kind, Mapping, Mark, Node, Scalar, Sequence, read_tree
from tests.unit.spec.texts import BARE, HOST, WEB

PLAIN = {
    "rocky9": Kind.TEXT, "a b": Kind.TEXT, "é😀": Kind.TEXT, "a'b\"c": Kind.TEXT, "-a": Kind.TEXT,
    "yes": Kind.TEXT, "no": Kind.TEXT, "on": Kind.TEXT, "Off": Kind.TEXT, "y": Kind.TEXT,
    "1:30": Kind.TEXT, "52:54:00:12:34:56": Kind.TEXT, "fe80::1/64": Kind.TEXT, "=": Kind.TEXT,
    "2026-01-01": Kind.TEXT, "1_000": Kind.TEXT, "0b1": Kind.TEXT, "a?b": Kind.TEXT,
    "https://example.org/x?y=z#w": Kind.TEXT, "0o8": Kind.TEXT, "-0x1": Kind.TEXT,
    "7": Kind.NUMBER, "07": Kind.NUMBER, "0o7": Kind.NUMBER, "0x1F": Kind.NUMBER,
    "-1.5e3": Kind.NUMBER, "+5": Kind.NUMBER, ".5": Kind.NUMBER, ".inf": Kind.NUMBER,
    "true": Kind.BOOLEAN, "False": Kind.BOOLEAN, "~": Kind.NULL, "null": Kind.NULL,
}  # fmt: skip

Value = tuple[Any, ...]
"""`(style, text, True)`, or `("list" or "map", what is in it, whether in block style)`."""

SIGNS = st.text(st.sampled_from("aZ0 :#-,[]{}&*!|>%@`?='\"\\\t~é\u00a0😀"), max_size=8)


class Pen:
    """Writes a text and tells where it is."""

    def __init__(self) -> None:
        self.text = ""

    @property
    def mark(self) -> Mark:
        line = self.text.rpartition("\n")[2]
        return Mark(self.text.count("\n") + 1, len(line) + 1)

    def write(self, text: str) -> None:
        self.text += text

    def line(self, indent: int) -> None:
        self.text += "\n" + " " * indent

    def scalar(self, style: str, text: str, indent: int) -> Scalar:
        mark = self.mark
        if style == "plain":
            self.write(text)
            return Scalar(mark, text, PLAIN[text], plain=True)
        if style == "single":
            self.write("'" + text.replace("'", "''") + "'")
        elif style == "double":
            self.write('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
        else:
            self.write("|")
            self.line(indent + 2)
            self.write(text)
            text += "\n"
        return Scalar(mark, text, Kind.TEXT, plain=False)

    def node(self, value: Value, indent: int, *, flow: bool) -> Node:
        kind, *rest = value
        flow = flow or not rest[-1]
        if kind == "list":
            return self.list(rest[0], indent, flow=flow)
        if kind == "map":
            return self.map(rest[0], indent, flow=flow)
        return self.scalar("double" if flow and kind == "literal" else kind, rest[0], indent)

    def list(self, values: list[Any], indent: int, *, flow: bool) -> Sequence:
        made = Sequence(self.mark)
        self.write("[" if flow else "")
        for number, value in enumerate(values):
            if flow:
                self.write(", " if number else "")
            else:
                if number:
                    self.line(indent)
                self.write("- ")
            made.items.append(self.node(value, indent + 2, flow=flow))
        self.write("]" if flow else "")
        return made

    def map(self, values: dict[tuple[str, str], Any], indent: int, *, flow: bool) -> Mapping:
        made = Mapping(self.mark)
        self.write("{" if flow else "")
        for number, ((style, key), value) in enumerate(values.items()):
            if flow:
                self.write(", " if number else "")
            elif number:
                self.line(indent)
            mark = self.mark
            self.scalar(style, key, indent)
            self.write(": ")
            if value[0] in {"list", "map"} and value[-1] and not flow:
                self.line(indent + 2)
            made.entries[key] = (mark, self.node(value, indent + 2, flow=flow))
        self.write("}" if flow else "")
        return made


SCALARS = st.one_of(
    st.tuples(st.just("plain"), st.sampled_from(sorted(PLAIN))),
    st.tuples(st.sampled_from(["single", "double"]), SIGNS),
    st.tuples(st.just("literal"), st.sampled_from(["x", "a: b", "# c", "- 'd", "tab\there"])),
)
KEYS = st.tuples(st.sampled_from(["single", "double"]), SIGNS) | st.tuples(
    st.just("plain"), st.sampled_from(sorted(PLAIN))
)


def collections(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return lists and mappings; the last part says whether they may stand in block style."""
    maps = st.dictionaries(KEYS, inner, max_size=4).map(
        lambda found: {key: found[key] for key in {text: (_, text) for _, text in found}.values()}
    )
    lists = st.lists(inner, max_size=4)
    return st.one_of(
        st.tuples(st.just("list"), lists, st.booleans()).map(
            lambda v: (*v[:2], v[2] and bool(v[1]))
        ),
        st.tuples(st.just("map"), maps, st.booleans()).map(lambda v: (*v[:2], v[2] and bool(v[1]))),
    )


VALUES = st.recursive(SCALARS.map(lambda pair: (*pair, True)), collections, max_leaves=12)


@given(collections(VALUES))
def test_what_was_written_is_read_with_its_kinds_and_places(value: Value) -> None:
    pen = Pen()
    wanted = pen.node(value, 0, flow=False)
    pen.write("\n")
    found = Mistakes()
    assert read_tree("f", pen.text, found) == wanted
    assert len(found) == 0


Leaf = tuple[str, Mark | None]


def leaves(node: Node) -> Iterator[Leaf]:
    """Return texts with their places, keys too; an empty one has no place of its own."""
    match node:
        case Scalar():
            yield node.text, node.mark if node.text else None
        case Sequence():
            for item in node.items:
                yield from leaves(item)
        case Mapping():
            for key, (mark, value) in node.entries.items():
                yield key, mark if key else None
                yield from leaves(value)


def second_opinion(text: str) -> list[Leaf]:
    """Return the same from PyYAML's parser in Python, which is another program."""
    return [
        (event.value, mark_of(event) if event.value else None)
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if isinstance(event, yaml.ScalarEvent)
    ]


def mark_of(event: yaml.Event) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


FRAGMENTS = (
    "\t", " ", "  ", "\n", "\n  ", ": ", ":", ",", "- ", "? ", "#", " #", "'", '"', "[", "]", "{",
    "}", "|", "|2-", ">", "&x ", "*x", "!", "!!s ", "%", "@", "---\n", "...\n", "\\", "\\x41", "ä",
    "<<: ", "~", "\r", "\r\n", "\u00a0", "a: b\n", "[a?b]", '"a":1', "%YAML 1.2\n", "\u2028", "\x85",
)  # fmt: skip
BLOCK = "a:\n  - b\n  - c: |\n      x\n       y\n\n      z\n    d: >-\n      k\n      l\n- q\n"
QUOTED = "a: 'x''y\n  z'\nb: \"q\\n\\x41 \\\n   r\"\n? k\n: v\nd:\nf: plain\n  more # c\n"


@given(
    st.sampled_from([HOST, WEB, BARE, BLOCK, QUOTED]),
    st.lists(st.tuples(st.integers(0, 600), st.sampled_from(FRAGMENTS)), max_size=3),
)
def test_a_spoilt_text_is_refused_or_read_as_another_parser_does(
    text: str, spoils: list[tuple[int, str]]
) -> None:
    for place, fragment in spoils:
        at = place % (len(text) + 1)
        text = text[:at] + fragment + text[at:]
    found = Mistakes()
    tree = read_tree("f", text, found)
    if tree is None or len(found):
        assert len(found)
        return
    try:
        wanted = second_opinion(text)
    except yaml.MarkedYAMLError:
        # It knows less of YAML 1.2: tabs between words, a question mark inside of a flow's word.
        assert "\t" in text or "?" in text
        return
    assert list(leaves(tree)) == wanted


@pytest.mark.parametrize("text", ["a:\tb\n", "a: b\t# c\n", "a: {\n\tb: c}\n", "a: b\tc\n"])
def test_a_tab_that_indents_nothing_is_no_mistake(text: str) -> None:
    found = Mistakes()
    assert isinstance(read_tree("f", text, found), Mapping)
    assert len(found) == 0


@pytest.mark.parametrize(
    "text",
    [
        "\ta: b\n", "a:\n\tb: c\n", "a:\n  \tb: c\n", "a:\n\t- b\n", "- a\n\t- b\n", "-\ta: b\n",
        "- a: b\n\tc: d\n", "a:\n  b: c\n\td: e\n", "a: b\n\tc\n", "a: |\n\tx\n", "a: |\n  x\n\ty\n",
        "?\ta: b\n", "? a\n:\tb: c\n", "- -\tb\n", "a: b\n\t# c\nd: e\n",
    ],
)  # fmt: skip
def test_a_tab_that_indents_is_a_mistake(text: str) -> None:
    found = Mistakes()
    assert read_tree("f", text, found) is None
    with pytest.raises(Exception, match="a tab can't stand in the indentation"):
        found.stop_if_any()


def test_without_libyaml_the_host_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    with pytest.raises(Unready, match="built without libyaml"):
        read_tree("f", BARE, Mistakes())
