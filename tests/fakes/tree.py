"""XML trees as text, each written once: the same few are looked at thousands of times."""

from __future__ import annotations

from functools import lru_cache
from xml.etree import ElementTree as ET

_Shape = tuple[tuple[object, ...], ...]


class _Key:
    """A tree that equals another of the same shape, which tells all that is in it."""

    def __init__(self, tree: ET.Element) -> None:
        self.tree = tree
        # In document order, and with the number of children: one shape is of one tree only.
        self.shape: _Shape = tuple(
            (one.tag, one.text, one.tail, len(one), *one.items()) for one in tree.iter()
        )
        self._hash = hash(self.shape)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.shape == other.shape


def tree_text(tree: ET.Element) -> str:
    """Return what ElementTree writes."""
    return _written(_Key(tree))


@lru_cache(maxsize=4096)
def _written(key: _Key) -> str:
    text = ET.tostring(key.tree, encoding="unicode")
    del key.tree  # it may change; its shape can't
    return text
