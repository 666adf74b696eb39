"""All mistakes of all files, collected first and told at once."""

from __future__ import annotations

from kvmkeep.errors import SpecError
from kvmkeep.model.spec import Place

SHOWN = 50
"""More mistakes than this are only counted."""


class Mistakes:
    """What is wrong with a spec, in the order of its files and lines."""

    def __init__(self) -> None:
        self._found: set[tuple[str, int, int, str]] = set()

    def add(self, place: Place, text: str) -> None:
        """Note a mistake: what is wrong and, in brackets, what to do."""
        self._found.add((place.file, place.line, place.column, text))

    def __len__(self) -> int:
        return len(self._found)

    def stop_if_any(self) -> None:
        """Raise SpecError with one line for each mistake, if there are any."""
        if not self._found:
            return
        lines = [
            f"{file}:{line}:{column}: {text}"
            for file, line, column, text in sorted(self._found)[:SHOWN]
        ]
        if len(self._found) > SHOWN:
            lines.append(f"and {len(self._found) - SHOWN} more")
        raise SpecError("\n".join(lines))
