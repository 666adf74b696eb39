"""A definition is changed where libvirt does not tell all of it: the password of a console.

libvirt leaves it out of what it shows (virsh(1), "dumpxml"), and takes it away once such a text is
defined. So the text is asked for with it, and changed in a file of root's own: no plan holds it.
"""

from __future__ import annotations

import re

from kvmkeep.model.command import Action, Command, WriteFile

_CONSOLE = re.compile(r"""<graphics type=["'](?:vnc|spice)""")
_SPECIAL = re.compile(r"[.+*?^$(){}|\[\]\\#]")
_END = "\n  </os>\n"


def may_have_password(xml: str) -> bool:
    """Whether a domain may have the password of a graphical console."""
    return _CONSOLE.search(xml) is not None


def with_value(xml: str, attribute: str, before: str, after: str) -> str:
    """Replace an attribute's value where it is just that one."""
    wanted = rf"""(?<=\s){attribute}=(["']){re.escape(before)}\1"""
    return re.sub(wanted, lambda found: f"{attribute}={found[1]}{after}{found[1]}", xml)


def value_edit(attribute: str, before: str, after: str) -> str:
    """Return the same in the words of sed(1)."""
    wanted = _SPECIAL.sub(r"\\\g<0>", before)
    return rf"""s#(\s{attribute}=)(["']){wanted}\2#\1\2{after}\2#g"""


def variables_edit(xml: str, path: str) -> str:
    """Return how sed(1) names the file of the firmware's variables; empty where it might not."""
    return rf"s#^  </os>$#    <nvram>{path}</nvram>\n&#" if xml.count(_END) == 1 else ""


def written(path: str, text: str) -> tuple[Action, ...]:
    """Return what writes a definition as it was seen, changed."""
    return (WriteFile(path=path, content=text.encode(), why="its definition, with that changed"),)


def edited(domain: str, path: str, edits: tuple[str, ...]) -> tuple[Action, ...]:
    """Return what writes a domain's definition with all that libvirt keeps to itself, changed."""
    words = tuple(word for edit in edits for word in ("-e", edit))
    return (
        Command(
            argv=("virsh", "dumpxml", "--inactive", "--security-info", "--", domain),
            why="its definition, with the password of its console",
            stdout_to=path,
        ),
        Command(
            argv=("sed", "--in-place", "--regexp-extended", *words, "--", path),
            why="change just that in it",
        ),
    )
