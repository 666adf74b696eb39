"""What a site's base template for domain XML leaves to be filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator

PLACEHOLDER = re.compile(r"%CHANGEME-[A-Z-]+%")
VM_NAME = "%CHANGEME-VM-NAME%"
RAM_SIZE = "%CHANGEME-RAM-SIZE%"
NUM_CPUS = "%CHANGEME-NUM-CPUS%"
BRIDGE_NAME = "%CHANGEME-BRIDGE-NAME%"

PLACEHOLDERS = frozenset({VM_NAME, RAM_SIZE, NUM_CPUS, BRIDGE_NAME})
_COMMENT_OR_PLACEHOLDER = re.compile(rf"<!--.*?-->|{PLACEHOLDER.pattern}", re.DOTALL)


def unknown_placeholders(template: str) -> Iterator[tuple[int, str]]:
    """Return where placeholders stand that nobody fills in; those in comments are no matter."""
    for found in _COMMENT_OR_PLACEHOLDER.finditer(template):
        if not found[0].startswith("<!--") and found[0] not in PLACEHOLDERS:
            yield found.start(), found[0]
