"""A plain table: columns as wide as their widest text; where that is too wide, small blocks."""

from __future__ import annotations

from collections.abc import Sequence

GAP = 2


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], width: int) -> str:
    """Return lines of aligned columns; on a narrow terminal each row becomes a small block."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    if sum(widths) + GAP * (len(head) - 1) <= width:
        return "\n".join(_line(line, widths) for line in lines)
    return "\n".join(_block(head, row) for row in rows) or _line(head, [0] * len(head))


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    padded = (cell.ljust(wide) for cell, wide in zip(cells, widths, strict=True))
    return (" " * GAP).join(padded).rstrip()


def _block(head: tuple[str, ...], row: tuple[str, ...]) -> str:
    """Return a row as its name and, below it, whatever else is not empty."""
    rest = (
        f"  {title.lower()}: {cell}"
        for title, cell in zip(head[1:], row[1:], strict=True)
        if cell not in {"", "-"}
    )
    return "\n".join((row[0], *rest))
