"""Secrets are looked for in what processes show, for as long as tests run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from labhost import Host

_BEGIN = """
rm -f /root/leaks /root/leaks.enough /root/leaks.counted
(until test -e /root/leaks.enough; do sleep 0.5; cat FILES; echo; done 2>/dev/null |
 grep -a -c -F -f SECRETS > /root/leaks; touch /root/leaks.counted) </dev/null >/dev/null 2>&1 &
"""
_END = """
touch /root/leaks.enough
timeout 60 bash -c 'until test -e /root/leaks.counted; do sleep 0.2; done'
cat /root/leaks
"""
"""The count is written once grep has read all of its input, and not where grep is killed."""


@contextmanager
def watched(site: Host, secrets: str, *files: str) -> Iterator[None]:
    """Demand that no line of the file of secrets is ever seen in the files, such as /proc/*/environ.

    A shell that writes a secret has it in its command line: let it have ended before.
    """
    site.must(_BEGIN.replace("FILES", " ".join(files)).replace("SECRETS", secrets))
    yield
    assert site.must(_END).strip() == "0", "a secret was seen"
