"""A document with the places of its parts, and the noting of what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct, field

from kvmkeep.model.spec import Place
from kvmkeep.model.units import Label, parse_label
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import Mark

Document = TypeVar("Document")
Input = TypeVar("Input")
Output = TypeVar("Output")

Path = tuple[str | int, ...]
"""The keys and positions that lead to a part: `("nics", 0, "address")`."""


class Source(Struct, Generic[Document], frozen=True, kw_only=True):
    """A document, or None where the file is no such document; told already.

    `values` and `keys` are the marks of what was written; `broken` the parts with a mistake.
    """

    file: str
    document: Document | None
    mistakes: Mistakes
    values: dict[Path, Mark] = field(default_factory=dict)
    keys: dict[Path, Mark] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)

    def has(self, *path: str | int) -> bool:
        """Whether this part was written, rightly or wrongly."""
        return path in self.keys or path in self.values

    def place(self, *path: str | int) -> Place:
        """Return where a value stands, or the nearest thing around it."""
        while path and path not in self.values:
            path = path[:-1]
        mark = self.values.get(path, Mark(1, 1))
        return Place(file=self.file, line=mark.line, column=mark.column)

    def key(self, *path: str | int) -> Place:
        """Return where a value's key stands, or the nearest thing around it."""
        mark = self.keys.get(path)
        if mark is None:
            return self.place(*path)
        return Place(file=self.file, line=mark.line, column=mark.column)

    def wrong(self, path: Path, text: str) -> None:
        """Note a mistake of a value, with its name before it."""
        self.broken.add(path)
        self.mistakes.add(self.place(*path), f"{named(path)}{text}")

    def wrong_key(self, path: Path, text: str) -> None:
        """Note a mistake of a key."""
        self.broken.add(path)
        self.mistakes.add(self.key(*path), text)

    def label(self, path: Path) -> Label | None:
        """Return the name that a key gives to a thing, or None after noting why it can't be one."""
        try:
            return parse_label(str(path[-1]))
        except ValueError as error:
            self.wrong_key(path, str(error))
            return None

    def parse(
        self, path: Path, parser: Callable[[Input], Output], value: Input | None
    ) -> Output | None:
        """Return the parsed value; None where there is none, or after noting why it is wrong."""
        if value is None:
            return None
        try:
            return parser(value)
        except ValueError as error:
            self.wrong(path, str(error))
            return None


def named(path: Path) -> str:
    """Return the name of a part as it begins a message."""
    words = [part for part in path if isinstance(part, str)]
    return f"{words[-1]}: " if words else ""
