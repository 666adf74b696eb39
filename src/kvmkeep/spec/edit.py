"""Changes of single parts of a YAML text, which leave all else of it to the byte.

Each way that may do is tried, and only a text that says just what was wanted is returned: so no
comment is lost, whether the file is written in blocks or in braces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from kvmkeep.model.found import Key, SpecChange
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import Mapping, Mark, Node, Scalar, Sequence, read_tree
from kvmkeep.spec.writing import value_text

Plain = str | list["Plain"] | dict[str, "Plain"]


def edited(text: str, changes: tuple[SpecChange, ...]) -> str | None:
    """Return the text with these changes made, or None where one of them can't be made."""
    for change in changes:
        before = _tree(text)
        if before is None:
            return None
        key = change.key
        value = None if change.value is None else value_text(change.value)
        wanted = _plain(before)
        if not _set(wanted, key, None if value is None else _value(value)):
            return None
        ways = (
            _removals(text, before, key) if value is None else _settings(text, before, key, value)
        )
        found = next((one for one in ways if _says(one, wanted)), None)
        if found is None:
            return None
        text = found
    return text


def _tree(text: str) -> Node | None:
    mistakes = Mistakes()
    node = read_tree("", text, mistakes)
    return None if len(mistakes) else node


def _says(text: str, wanted: Plain) -> bool:
    node = _tree(text)
    return node is not None and _plain(node) == wanted


def _value(text: str) -> Plain:
    """Return what one line of YAML says."""
    node = _tree(f"value: {text}\n")
    plain = _plain(node) if node is not None else {}
    return plain["value"] if isinstance(plain, dict) and "value" in plain else ""


def _plain(node: Node) -> Plain:
    match node:
        case Mapping():
            return {key: _plain(inner) for key, (_, inner) in node.entries.items()}
        case Sequence():
            return [_plain(item) for item in node.items]
        case Scalar():
            return node.text
        case _:  # pragma: no cover - a tree with mistakes is not looked at
            return ""


def _set(plain: Plain, key: Key, value: Plain | None) -> bool:
    """Set or take out a part of plain data; mappings on the way are made. Whether it could be."""
    *way, last = key
    for part in way:
        if isinstance(plain, dict) and isinstance(part, str):
            plain = plain.setdefault(part, {})
        elif isinstance(plain, list) and isinstance(part, int) and part < len(plain):
            plain = plain[part]
        else:
            return False
    if isinstance(plain, dict) and isinstance(last, str):
        if value is None:
            return plain.pop(last, None) is not None
        plain[last] = value
        return True
    if isinstance(plain, list) and isinstance(last, int) and last <= len(plain):
        if value is None:
            del plain[last : last + 1]
        else:
            plain[last : last + 1] = [value]
        return True
    return False


def _at(node: Node | None, key: Key) -> Node | None:
    for part in key:
        if isinstance(node, Mapping) and part in node.entries:
            node = node.entries[str(part)][1]
        elif isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
        else:
            return None
    return node


def _settings(text: str, root: Node, key: Key, value: str) -> Iterator[str]:
    """Yield texts in which a part may say something else."""
    found = _at(root, key)
    if isinstance(found, Scalar):
        yield from _replaced(text, found, value)
        return
    parent, last = _at(root, key[:-1]), key[-1]
    if len(key) == 1:
        yield f"{_ended(text)}{last}: {value}\n"
    if isinstance(parent, Mapping):
        yield from _added_key(text, parent, f"{last}: {value}")
    elif isinstance(parent, Sequence):
        yield from _added_item(text, parent, value)
    else:
        yield from _settings(text, root, key[:-1], f"{{{last}: {value}}}")


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"


def _replaced(text: str, old: Scalar, value: str) -> Iterator[str]:
    span = _span(text, old)
    if span is not None:
        yield text[: span[0]] + value + text[span[1] :]


def _added_key(text: str, parent: Mapping, entry: str) -> Iterator[str]:
    """Put an entry behind the last one that ends where it can be seen, or before the first."""
    for mark, node in reversed(parent.entries.values()):
        span = _span(text, node) if isinstance(node, Scalar) else None
        if span is not None:
            yield f"{text[: span[1]]}, {entry}{text[span[1] :]}"
            end = _line_end(text, span[1])
            yield f"{_ended(text[:end])}{' ' * (mark.column - 1)}{entry}\n{text[end:]}"
    for mark, _ in parent.entries.values():
        at = _offset(text, mark)
        yield f"{text[:at]}{entry}, {text[at:]}"
        begin = at - (mark.column - 1)
        yield f"{text[:begin]}{' ' * (mark.column - 1)}{entry}\n{text[begin:]}"
    if not parent.entries:
        at = _offset(text, parent.mark)
        yield f"{text[: at + 1]}{entry}{text[at + 1 :]}"


def _added_item(text: str, parent: Sequence, item: str) -> Iterator[str]:
    """Put an item at the end of a list."""
    at = _offset(text, parent.items[-1].mark if parent.items else parent.mark)
    comma = ", " if parent.items else ""
    line = " " * (parent.mark.column - 1) + f"- {item}\n"
    return chain(
        (f"{text[:end]}{comma}{item}{text[end:]}" for end in _places(text, "]", at)),
        (f"{_ended(text[:end])}{line}{text[end:]}" for end in _line_ends(text, at)),
    )


def _removals(text: str, root: Node, key: Key) -> Iterator[str]:
    """Return texts in which a part may be missing: without its lines, or without its words."""
    parent, last = _at(root, key[:-1]), key[-1]
    begin = 0
    if isinstance(parent, Mapping):
        begin = _offset(text, parent.entries[str(last)][0])
    elif (found := _at(root, key)) is not None:
        begin = _offset(text, found.mark)
    line = text.rfind("\n", 0, begin) + 1
    head = text[:begin].rstrip(" ")
    first = head.endswith(("[", "{"))
    return chain(
        (text[:line] + text[end:] for end in _line_ends(text, line)),
        (
            head + text[end:].lstrip(" ") if first else head.removesuffix(",") + text[end:]
            for end in range(begin + 1, _line_end(text, begin))
        ),
    )


def _places(text: str, part: str, at: int) -> Iterator[int]:
    return (place for place in range(at, len(text)) if text[place] == part)


def _line_ends(text: str, at: int) -> Iterator[int]:
    """Return where each line ends, from that of a place on."""
    return (found.end() for found in re.compile(r"\n|(?<=[^\n])\Z").finditer(text, at))


def _span(text: str, node: Scalar) -> tuple[int, int] | None:
    """Return where a scalar begins and ends, if it stands there as it is."""
    at = _offset(text, node.mark)
    for quote in ("",) if node.plain else ("'", '"'):
        written = f"{quote}{node.text}{quote}"
        if node.text and text.startswith(written, at):
            return at, at + len(written)
    return None


def _offset(text: str, mark: Mark) -> int:
    at = 0
    for _ in range(mark.line - 1):
        at = text.index("\n", at) + 1
    return at + mark.column - 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
