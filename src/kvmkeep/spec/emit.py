"""A tree of a spec's file back to YAML: what each value is stays, how it was laid out does not."""

from __future__ import annotations

import re

from kvmkeep.spec.nodes import Kind, Mapping, Node, Scalar, Sequence, plain_kind

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}


def emit(mapping: Mapping) -> str:
    """Return the YAML of a file."""
    return "".join(f"{line}\n" for line in _lines(mapping))


def _lines(node: Node) -> list[str]:
    """Return a node in block style, without indentation."""
    if isinstance(node, Mapping) and node.entries:
        return [
            line
            for key, (_, value) in node.entries.items()
            for line in _entry(f"{_key(key)}:", value)
        ]
    if isinstance(node, Sequence) and node.items:
        return [line for item in node.items for line in _item(_lines(item))]
    if isinstance(node, Scalar):
        return _scalar(node)
    return ["{}" if isinstance(node, Mapping) else "[]"]


def _entry(key: str, value: Node) -> list[str]:
    inner = _lines(value)
    if isinstance(value, Scalar) or inner[0] in {"{}", "[]"}:
        return [f"{key} {inner[0]}".rstrip(), *inner[1:]]
    return [key, *(f"  {line}" for line in inner)]


def _item(inner: list[str]) -> list[str]:
    return [f"- {inner[0]}", *(f"  {line}" for line in inner[1:])]


def _scalar(node: Scalar) -> list[str]:
    """Return a value; text of several lines as a literal block, where one can hold it."""
    lines = node.text.split("\n")
    if node.plain and len(lines) == 1:
        return [node.text]
    *body, last = lines
    if body and not last and _fits_block(body):
        return ["|", *(f"  {line}" if line else "" for line in body)]
    return [_quoted(node.text)]


def _fits_block(lines: list[str]) -> bool:
    """Whether a literal block gives back just these lines."""
    whole = all(line.isprintable() and line == line.rstrip() for line in lines)
    return whole and not lines[0].startswith(" ") and bool(lines[0]) and bool(lines[-1])


def _key(text: str) -> str:
    plain = _PLAIN_KEY.fullmatch(text) and plain_kind(text) is Kind.TEXT
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    return '"' + "".join(_character(character) for character in text) + '"'


def _character(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    return character if character.isprintable() else f"\\U{ord(character):08x}"
