"""A guest's file without the needs that are not there: it comes back before them, or without."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec import Struct

from kvmkeep.model.found import Key, SpecChange
from kvmkeep.spec.edit import edited
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import Mapping, Node, Scalar, Sequence, decode, read_tree

_NEEDS: Key = ("run", "needs")


class Shortened(Struct, frozen=True, kw_only=True):
    """A guest's file, and the guests that were taken out of its needs."""

    content: bytes
    missing: tuple[str, ...] = ()


def without_needs(content: bytes, known: Collection[str]) -> Shortened:
    """Return the file with only such guests among its needs as are `known`; else to the byte.

    A file with mistakes, and one of which they can't be taken out, is returned as it is: who reads
    it tells that.
    """
    mistakes = Mistakes()
    text = (decode("", content, mistakes) or "").removeprefix("\ufeff")
    root = read_tree("", text, mistakes) if text else None
    if root is None or len(mistakes):
        return Shortened(content=content)
    needs = _needs(root)
    gone = [place for place, name in enumerate(needs) if _is_missing(name, known)]
    missing = tuple(dict.fromkeys(needs[place] for place in gone))
    ways = _ways(root, gone, whole=len(gone) == len(needs)) if gone else iter(())
    found = next((one for way in ways if (one := edited(text, way)) is not None), None)
    if found is None:
        return Shortened(content=content)
    names = ", ".join(missing)
    said = f"# Not there when this came back from its backup, so taken out of run.needs: {names}\n"
    return Shortened(content=(said + found).encode(), missing=missing)


def _needs(root: Node) -> list[str]:
    """Return each need as it stands there; nothing for one that is no single word."""
    run = _value(root, "run")
    needs = _value(run, "needs")
    items = needs.items if isinstance(needs, Sequence) else ()
    return [one.text if isinstance(one, Scalar) else "" for one in items]


def _value(node: Node | None, key: str) -> Node | None:
    entries = node.entries if isinstance(node, Mapping) else {}
    return entries[key][1] if key in entries else None


def _is_missing(name: str, known: Collection[str]) -> bool:
    return bool(name) and not name.startswith("/") and name not in known


def _ways(root: Node, gone: list[int], *, whole: bool) -> Iterator[tuple[SpecChange, ...]]:
    """Return what may take them out: each, or where none stays, the list or what is around it.

    A list in lines that lost its last item would be no list any more.
    """
    yield tuple(_out((*_NEEDS, place)) for place in reversed(gone))
    if whole:
        yield (_out(_NEEDS),)
        run = _value(root, "run")
        if isinstance(run, Mapping) and len(run.entries) == 1:
            yield (_out(_NEEDS[:1]),)


def _out(key: Key) -> SpecChange:
    return SpecChange(key=key, value=None, what="")
