"""JSON that was kept on a disk, or comes from a guest or a repository: what is damaged is none."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decoded_or_none(content: bytes | str | msgspec.Raw, form: type[T]) -> T | None:
    """Return what JSON holds, or None where it is not whole, not UTF-8, or of another form."""
    try:
        return msgspec.json.decode(content, type=form)
    # msgspec's own errors are ValueErrors since 0.20 only; of a byte that is not UTF-8 in a
    # string, and of what is too deep, it raises Python's own.
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
