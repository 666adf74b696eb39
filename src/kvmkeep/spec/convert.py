"""A tree of nodes to a document, field by field, so that each mistake is found.

msgspec's own decoder would stop at the first one; its description of the types is used instead.
No message repeats a value: it could be a password that stands in the wrong place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar, assert_never, cast

from msgspec import Struct, inspect

from kvmkeep.model.text import printable
from kvmkeep.spec.document import Section
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import Broken, Kind, Mapping, Node, Scalar, Sequence
from kvmkeep.spec.source import Path, Source

Doc = TypeVar("Doc", bound=Section)

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}")
_YAML_1_1_BOOLEAN = frozenset({"yes", "no", "on", "off", "y", "n"})
_WORDS: tuple[tuple[type, str], ...] = (
    (inspect.StrType, "text"),
    (inspect.IntType, "a whole number"),
    (inspect.BoolType, "true or false"),
    (inspect.VarTupleType, "a list"),
    (inspect.DictType, "keys with values"),
    (inspect.StructType, "keys with values"),
)


def convert(file: str, node: Node | None, kind: type[Doc], mistakes: Mistakes) -> Source[Doc]:
    """Return the document that a file's tree holds, with the places of its parts.

    Wrong values are left out: `None` where the field is required, else the field's default.
    """
    marks: Source[Doc] = Source(file=file, document=None, mistakes=mistakes)
    if node is None:
        return marks
    document = _Walker(marks).value(node, _described(kind), ())
    return Source(
        file=file,
        document=document,
        mistakes=mistakes,
        values=marks.values,
        keys=marks.keys,
        broken=marks.broken,
    )


class _Shape(Struct, frozen=True):
    """What may stand at a place: the types without None, and the extra hints of its type."""

    options: tuple[inspect.Type, ...]
    extra: dict[str, Any]


@cache
def _described(kind: type[Section]) -> _Shape:
    return _shape(inspect.type_info(kind))


@cache
def _fields(kind: type[Section]) -> dict[str, tuple[inspect.Field, _Shape]]:
    """Return the keys of a mapping: the same for each of a thousand guests, so found once."""
    described = cast("inspect.StructType", inspect.type_info(kind))
    return {field.encode_name: (field, _shape(field.type)) for field in described.fields}


class _Walker:
    """Walks a tree along the types. Each method returns None for what is wrong and told."""

    def __init__(self, source: Source[Any]) -> None:
        self.source = source

    def value(self, node: Node, wanted: _Shape, path: Path) -> Any:  # noqa: ANN401 - any field
        self.source.values[path] = node.mark
        if isinstance(node, Broken):
            self.source.broken.add(path)
            return None
        if isinstance(node, Scalar) and node.kind is Kind.NULL:
            self.source.wrong(path, "there is no value (write one, or remove the key)")
            return None
        for option in wanted.options:
            if _fits(node, option):
                return self._as(node, option, path)
        self.source.wrong(path, _mismatch(node, wanted))
        return None

    def _as(self, node: Node, option: inspect.Type, path: Path) -> Any:  # noqa: ANN401 - any field
        match node, option:
            case Scalar(), inspect.IntType():
                return self._integer(node, option, path)
            case Scalar(), inspect.EnumType():
                return self._choice(node, option, path)
            case Scalar(), _:
                return node.text.lower() == "true" if node.kind is Kind.BOOLEAN else node.text
            case Sequence(), inspect.VarTupleType():
                inner = _shape(option.item_type)
                return tuple(
                    self.value(item, inner, (*path, position))
                    for position, item in enumerate(node.items)
                )
            case Mapping(), inspect.DictType():
                return self._dict(node, option, path)
            case Mapping(), inspect.StructType():
                return self._struct(node, option, path)
            case _:
                raise AssertionError(f"a document has a field of type {option}")

    def _integer(self, node: Scalar, wanted: inspect.IntType, path: Path) -> int | None:
        if _WHOLE.fullmatch(node.text) is None:
            self.source.wrong(path, "not a whole number (plain digits, no zero before them)")
            return None
        number = int(node.text)
        low, high = wanted.ge, wanted.le
        if low is not None and high is not None and not low <= number <= high:
            self.source.wrong(path, f"{number} is out of range (from {low} to {high})")
            return None
        return number

    def _choice(self, node: Scalar, wanted: inspect.EnumType, path: Path) -> Any:  # noqa: ANN401 - any enum
        for member in wanted.cls:
            if member.value == node.text:
                return member
        known = ", ".join(member.value for member in wanted.cls)
        self.source.wrong(path, f"not a known word (one of {known})")
        return None

    def _dict(self, node: Mapping, wanted: inspect.DictType, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        free = isinstance(wanted.value_type, inspect.AnyType)
        shape = _shape(wanted.value_type)
        for key, (mark, inner) in node.entries.items():
            self.source.keys[(*path, key)] = mark
            if free:
                values[key] = self._free(inner, (*path, key))
            else:
                values[key] = self.value(inner, shape, (*path, key))
        return values

    def _struct(self, node: Mapping, wanted: inspect.StructType, path: Path) -> Struct:
        fields = _fields(wanted.cls)
        meant: set[str] = set()
        values: dict[str, Any] = {}
        for key, (mark, inner) in node.entries.items():
            self.source.keys[(*path, key)] = mark
            if key not in fields:
                close = _closest(key, fields)
                meant.add(close)
                hint = f"did you mean {close}?" if close else f"known here: {', '.join(fields)}"
                self.source.wrong_key((*path, key), f"unknown key {printable(key)} ({hint})")
                continue
            value = self.value(inner, fields[key][1], (*path, key))
            if value is not None:
                values[key] = value
        for name, (field, _) in fields.items():
            if field.required:
                values.setdefault(name, None)
                if name not in node.entries:
                    self.source.broken.add((*path, name))
                    if name not in meant:
                        self.source.mistakes.add(self.source.place(*path), _missing(field))
        return wanted.cls(**values)

    def _free(self, node: Node, path: Path) -> Any:  # noqa: ANN401 - any JSON
        """Return what a free part is as JSON; a wrong value is told and left out."""
        self.source.values[path] = node.mark
        match node:
            case Scalar():
                return self._free_scalar(node, path)
            case Sequence():
                return [
                    self._free(item, (*path, position)) for position, item in enumerate(node.items)
                ]
            case Mapping():
                return {
                    key: self._free(inner, (*path, key)) for key, (_, inner) in node.entries.items()
                }
            case _:
                return None

    def _free_scalar(self, node: Scalar, path: Path) -> Any:  # noqa: ANN401 - any JSON
        """Return a scalar, unless cloud-init's YAML 1.1 would have read another thing."""
        match node.kind:
            case Kind.NULL:
                return None
            case Kind.BOOLEAN:
                return node.text.lower() == "true"
            case Kind.NUMBER:
                return self._free_number(node.text, path)
            case Kind.TEXT:
                if node.plain and node.text.lower() in _YAML_1_1_BOOLEAN:
                    self.source.wrong(
                        path, f"{node.text} is text here (write true or false, or use quotes)"
                    )
                return node.text
            case _ as never:
                assert_never(never)

    def _free_number(self, text: str, path: Path) -> int | float | None:
        if _WHOLE.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text):
            return float(text)
        self.source.wrong(path, "this number can be read in two ways (put it in quotes)")
        return None


def _shape(wanted: inspect.Type) -> _Shape:
    extra: dict[str, Any] = {}
    while isinstance(wanted, inspect.Metadata):
        extra |= wanted.extra or {}
        wanted = wanted.type
    if not isinstance(wanted, inspect.UnionType):
        return _Shape((wanted,), extra)
    found: list[inspect.Type] = []
    for option in wanted.types:
        if not isinstance(option, inspect.NoneType):
            inner = _shape(option)
            found.extend(inner.options)
            extra |= inner.extra
    return _Shape(tuple(found), extra)


def _fits(node: Node, option: inspect.Type) -> bool:
    """Whether a node has the shape that a type is written in."""
    match node:
        case Sequence():
            return isinstance(option, inspect.VarTupleType)
        case Mapping():
            return isinstance(option, inspect.DictType | inspect.StructType)
        case Scalar(kind=Kind.NUMBER):
            return isinstance(option, inspect.IntType)
        case Scalar(kind=Kind.BOOLEAN):
            return isinstance(option, inspect.BoolType)
        case _:
            return isinstance(option, inspect.StrType | inspect.EnumType)


def _mismatch(node: Node, wanted: _Shape) -> str:
    """Return the message for a value of the wrong shape."""
    match node:
        case Scalar():
            found = node.kind.value
        case Sequence():
            found = "a list"
        case _:
            found = "keys with values"
    words = [
        next((word for kind, word in _WORDS if isinstance(option, kind)), "text")
        for option in wanted.options
    ]
    hint = ""
    if isinstance(node, Scalar) and "text" in words:
        hint = f" ({wanted.extra.get('number', 'put it in quotes')})"
    elif isinstance(node, Scalar) and words == ["a list"]:
        hint = " (write [a, b])"
    return f"{found} stands here, but {' or '.join(words)} is wanted{hint}"


def _closest(key: str, known: Iterable[str]) -> str:
    """Return the known key that was probably meant, or nothing."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    close = difflib.get_close_matches(key[:100], list(known), n=1)
    return close[0] if close else ""


def _missing(field: inspect.Field) -> str:
    """Return the message for a required key that is not there, with an example."""
    examples: list[Any] = []
    if isinstance(field.type, inspect.Metadata):
        examples = (field.type.extra_json_schema or {}).get("examples", [])
    name = field.encode_name
    if not examples:
        return f"{name} is missing (add it)"
    example = examples[0] if isinstance(examples[0], str) else json.dumps(examples[0])
    return f"{name} is missing (such as {name}: {example})"
