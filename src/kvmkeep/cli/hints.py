"""What to type next, where the spec lies elsewhere than usual: each such line says where.

Hints are written all over the program, as one types them where the spec is in its usual place;
they get the option here, on their way out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SPEC_DIR = "/etc/kvmkeep"
"""Where the spec usually is."""


def spec_options(spec_dir: str) -> tuple[str, ...]:
    """Return the options by which the same spec is found, from whatever directory."""
    from posixpath import abspath

    path = abspath(spec_dir)
    return () if path == SPEC_DIR else ("--spec", path)


def with_spec(text: str, spec_dir: str, escaped: Callable[[str], str] = str) -> str:
    """Return a text whose lines to be typed name the spec; `escaped` writes as the text does.

    A line that names one already stays, and so does a command as it is run (`$ ...`, `? ...`).
    """
    options = spec_options(spec_dir)
    if not options or "kvmkeep" not in text:
        return text
    import re
    import shlex

    from kvmkeep.cli.verbs import INNER, VERBS

    verbs = "|".join(VERBS.keys() - INNER)
    run = r"^ *(?:# else: )?[$?] .*"
    typed = (
        rf"(?<![\w/.-])(kvmkeep)(?=(?:\s+--?[a-z]+)*\s+(?:{verbs})(?![\w-]))"
        r'(?![^\n"`]*\s--spec\b)'
    )
    named = escaped(shlex.join(("kvmkeep", *options)))
    return re.sub(
        f"{run}|{typed}", lambda one: named if one[1] else one[0], text, flags=re.MULTILINE
    )
