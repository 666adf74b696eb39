"""Whether a guest's file can be given an `identity` by a line at its end."""

from __future__ import annotations

import re

from kvmkeep.spec.convert import convert
from kvmkeep.spec.guest_document import GuestFile
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import decode, read_tree

_LINE = re.compile(rb"^identity:.*\n?", re.MULTILINE)


def takes_identity(content: bytes) -> bool:
    """Whether the file, with `identity: NAME` as its last line, says just that.

    It does not where the file is one `{...}`, or ends in `...`.
    """
    mistakes = Mistakes()
    named = _LINE.sub(b"", content).rstrip(b"\n") + b"\nidentity: it\n"
    text = decode("", named, mistakes)
    node = None if text is None else read_tree("", text, mistakes)
    document = convert("", node, GuestFile, mistakes).document
    return document is not None and document.identity == "it"
