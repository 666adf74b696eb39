"""YAML text to a tree that knows where each thing stands.

YAML 1.2 (core schema), without what makes a file read otherwise than it looks: anchors, aliases,
merge keys, tags, directives and double keys are refused. libyaml parses, through PyYAML; what a
plain scalar means is decided here, by YAML 1.2, so that a MAC address and `yes` stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

import yaml
from msgspec import Struct, field
from msgspec.structs import replace
from yaml import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)

from kvmkeep.errors import Unready
from kvmkeep.model.spec import Place
from kvmkeep.model.text import printable
from kvmkeep.spec.mistakes import Mistakes

LARGEST_FILE = 1 << 20
"""Bytes of the largest file that is read."""

DEEPEST = 20
"""Levels of nesting: a spec needs 4, and user_data a few more."""


class Kind(Enum):
    """What a scalar is, in the words of a message."""

    TEXT = "text"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    NULL = "nothing"


class Mark(Struct, frozen=True):
    """A place in a file, counted from 1."""

    line: int
    column: int


class Scalar(Struct, frozen=True):
    """A single value: its text as written, without quotes. `plain` when it had none."""

    mark: Mark
    text: str
    kind: Kind
    plain: bool


class Sequence(Struct, frozen=True):
    """A list."""

    mark: Mark
    items: list[Node] = field(default_factory=list)


class Mapping(Struct, frozen=True):
    """Keys with values, each key once."""

    mark: Mark
    entries: dict[str, tuple[Mark, Node]] = field(default_factory=dict)


class Broken(Struct, frozen=True):
    """Stands for a value whose mistake was told already."""

    mark: Mark


Node = Scalar | Sequence | Mapping | Broken

# YAML 1.2.2, 10.3.2 "Tag resolution" of the core schema.
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})
_NUMBER = re.compile(
    r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)

# Control characters, line separators that editors don't count, and characters that turn the
# direction of text, so that it reads otherwise than it is.
_UNWANTED = (
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd"
    "\U00010000-\U0010ffff]"
)
_LINES_AND_TABS = str.maketrans(dict.fromkeys("\t\n\r"))

_HINTS = (
    ("mapping values are not allowed", "a ':' too many, or wrong indentation; quote such text"),
    ("could not find expected ':'", "a key without ':', or wrong indentation"),
    ("found unexpected end of stream", "a quote is not closed"),
    ("expected key", "compare the indentation with the lines above"),
    ("expected '-'", "compare the indentation with the lines above"),
    ("expected ',' or", "a bracket or brace is not closed, or a comma is missing"),
    ("cannot start any token", "put such text in quotes"),
    ("found unexpected ':'", "a space must follow the ':' of a key; quote such text"),
    ("expected node content", "a value is missing, or a sign too many stands here"),
    ("escape", "in single quotes, \\ means nothing special"),
    ("expected alphabetic or numeric", "put such text in quotes"),
)
_UNCLOSED = ("found unexpected end of stream", "expected ',' or")
"""What the parser meets long after what is wrong: at the end, or in the next key."""


def plain_kind(text: str) -> Kind:
    """Return what YAML 1.2 takes this text for when it stands without quotes."""
    if text in _NULL:
        return Kind.NULL
    if text in _BOOLEAN:
        return Kind.BOOLEAN
    return Kind.NUMBER if _NUMBER.fullmatch(text) else Kind.TEXT


def decode(file: str, content: bytes, mistakes: Mistakes) -> str | None:
    """Return a file's text, or None after noting why it is none."""
    if len(content) > LARGEST_FILE:
        mistakes.add(Place(file=file, line=1, column=1), "the file is larger than 1 MiB")
        return None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode()) + 1
        mistakes.add(Place(file=file, line=line, column=column), "this is not UTF-8 text")
        return None


def read_tree(file: str, text: str, mistakes: Mistakes) -> Node | None:
    """Return the tree of a file's text, or None after noting why there is none.

    Raises Unready where PyYAML was built without libyaml.
    """
    if not yaml.__with_libyaml__:
        hint = "install your distribution's python3-yaml, or PyYAML as a wheel"
        raise Unready("PyYAML was built without libyaml, which reads the spec", hint=hint)
    return _Reader(file, text, mistakes).read()


class _Reader:
    """Reads one file. Mistakes of form are noted as they come; bad syntax ends the reading."""

    def __init__(self, file: str, text: str, mistakes: Mistakes) -> None:
        self.file = file
        self.text = text.removeprefix("\ufeff")
        self.mistakes = mistakes

    def wrong(self, mark: Mark, text: str) -> Broken:
        """Note a mistake and return what stands for the value."""
        self.mistakes.add(Place(file=self.file, line=mark.line, column=mark.column), text)
        return Broken(mark)

    def read(self) -> Node | None:
        # Text that Python can print holds none of them, and the expression is slow to compile.
        printable = self.text.translate(_LINES_AND_TABS).isprintable()
        unwanted = None if printable else re.search(_UNWANTED, self.text)
        if unwanted:
            before = self.text[: unwanted.start()]
            mark = Mark(before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1)
            self.wrong(mark, f"the character {unwanted[0]!a} can't stand in a spec")
            return None
        try:
            return self._document(iter(yaml.CSafeLoader(self.text).get_event, None))
        except _TooDeep as error:
            self.wrong(error.mark, f"nested more than {DEEPEST} levels deep")
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        return None

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        """Note what the parser stumbled over, with a hint where the usual reason is known."""
        mark = _mark(error.problem_mark)
        lines = self.text.split("\n")
        line = lines[mark.line - 1] if mark.line <= len(lines) else ""
        indentation = line[: len(line) - len(line.lstrip())]
        if "\t" in indentation or line[mark.column - 1 : mark.column] == "\t":
            mark = Mark(mark.line, line.index("\t") + 1)
            self.wrong(mark, "a tab can't stand in the indentation (use spaces)")
            return
        hint = next((f" ({hint})" for part, hint in _HINTS if part in error.problem), "")
        begin = error.context_mark
        if (
            any(part in error.problem for part in _UNCLOSED)
            and begin is not None
            and begin.line < error.problem_mark.line
        ):
            hint = f" in line {mark.line}{hint}"
            mark = _mark(begin)
        self.wrong(mark, f"this is not YAML: {error.problem}{hint}")

    def _document(self, events: Iterator[Event]) -> Node | None:
        root: Node | None = None
        begun = False
        for event in events:
            if isinstance(event, DocumentStartEvent):
                if begun:
                    self.wrong(
                        _mark(event.start_mark), "a second document begins here (one for each file)"
                    )
                    return root
                begun = True
                if event.version or event.tags:
                    self.wrong(
                        self._directive(), "directives are not used here (remove the % line)"
                    )
            elif isinstance(event, NodeEvent):
                root = self._node(event, events, 1)
        if root is None or (isinstance(root, Scalar) and root.kind is Kind.NULL):
            return self.wrong(Mark(1, 1), "the file is empty")
        return root

    def _directive(self) -> Mark:
        """Return where the first directive stands; the parser only tells where they end."""
        lines = self.text.split("\n")
        found = (n for n, line in enumerate(lines, 1) if line.startswith("%"))
        return Mark(next(found, 1), 1)

    def _node(self, event: Event, events: Iterator[Event], depth: int) -> Node:
        mark = _mark(event.start_mark)
        if depth > DEEPEST:
            raise _TooDeep(mark)
        if isinstance(event, AliasEvent):
            return self.wrong(mark, "aliases are not used here (write the value again)")
        if getattr(event, "anchor", None):
            self.wrong(mark, "anchors are not used here (remove the word that begins with '&')")
        if isinstance(event, ScalarEvent):
            return self._scalar(event, mark)
        if getattr(event, "tag", None) is not None:
            self.wrong(mark, "tags are not used here (remove the word that begins with '!')")
        if isinstance(event, MappingStartEvent):
            return self._mapping(mark, events, depth)
        items = Sequence(mark)
        while not isinstance(inner := next(events), CollectionEndEvent):
            items.items.append(self._node(inner, events, depth + 1))
        return items

    def _scalar(self, event: ScalarEvent, mark: Mark) -> Node:
        if event.tag is not None:
            return self.wrong(mark, "tags are not used here (remove the word that begins with '!')")
        plain = event.implicit[0]
        return Scalar(
            mark, event.value, plain_kind(event.value) if plain else Kind.TEXT, bool(plain)
        )

    def _mapping(self, mark: Mark, events: Iterator[Event], depth: int) -> Mapping:
        mapping = Mapping(mark)
        while not isinstance(event := next(events), CollectionEndEvent):
            key = self._node(event, events, depth + 1)
            value = self._node(next(events), events, depth + 1)
            if isinstance(value, Scalar) and value.plain and not value.text:
                # The parser sets the mark of an empty value behind it, on another line.
                value = replace(value, mark=key.mark)
            if isinstance(key, Broken):
                continue
            if not isinstance(key, Scalar):
                self.wrong(key.mark, "a key must be a single word")
            elif key.plain and key.text == "<<":
                self.wrong(key.mark, "merge keys are not used here (write the values out)")
            elif key.text in mapping.entries:
                first = mapping.entries[key.text][0].line
                self.wrong(
                    key.mark, f"the key {printable(key.text)} stands here twice (see line {first})"
                )
            else:
                mapping.entries[key.text] = (key.mark, value)
        return mapping


class _TooDeep(Exception):
    """The nesting at this mark is deeper than anything sensible."""

    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark


def _mark(mark: yaml.Mark) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)
