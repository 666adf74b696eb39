"""A story of deeds, told once and logged; then what comes of it when the power goes in the middle."""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.replay.deeds import DEEDS, begin
from tests.replay.layers import Layers
from tests.torture.oath import LOOKS

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from labhost import Host

    from tests.replay.deeds import Deed

TRIES = 3
_FILES = {
    "files": "find /etc/kvmkeep /etc/libvirt/qemu /root/kvm -type f | sort",
    "sizes and marks": "lvs --noheadings -o lv_name,lv_size,lv_tags rl_build | sort",
    "the spec": "cat /etc/kvmkeep/guests/*.yaml",
}
_LOOKS = "\n".join(
    f"echo {shlex.quote(f'# {name}')}\n({line}\n)" for name, line in (LOOKS | _FILES).items()
)
_FOREIGN = """
md5sum < /dev/rl_build/vm-legacy; md5sum < /dev/rl_build/vm-tiny-old
lvs --noheadings -o lv_name,lv_uuid,lv_size,lv_tags,seg_pe_ranges \\
  rl_build/{root,home,opt,state,vm-legacy,vm-tiny-old}
virsh dumpxml --inactive legacy; virsh domstate legacy
"""
_STAMP = re.compile(r"\d{8}T\d{4}Z(-\d+)?")
"""A set and what is in the trash are called by when they were made; a later run says another time."""
_GOOD = {0, 9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A deed as it was told: its line as it was typed, and how the host was after it."""

    deed: Deed
    line: str
    after: str
    foreign: str


class Story:
    """All deeds, on a host that is only for this."""

    def __init__(self, host: Host, deeds: Sequence[Deed] = DEEDS) -> None:
        """Do the deeds once. What each has acknowledged must be on the disk by then."""
        self.host = host
        begin(host)
        self._layers = Layers(host)
        self.told = tuple(self._tell(deed) for deed in deeds)
        self.spans = self._layers.ended()
        for told in self.told:
            self._layers.go(self.spans[told.deed.name].end)
            lost = _differing(told.after, _seen(host))
            assert not lost, f"{told.deed.name}: acknowledged, and not there:\n{lost}"

    def _tell(self, deed: Deed) -> Told:
        deed.prepare(self.host)
        line = deed.line.replace("{}", self.host.must(deed.of).strip())
        self._layers.mark(f"begin:{deed.name}")
        self.host.must(line, limit=1500)
        self._layers.mark(f"end:{deed.name}")
        # After a power cut it is off as well.
        self.host.must("for one in $(virsh list --name); do virsh destroy $one; done")
        after, foreign = _seen(self.host), self.host.must(_FOREIGN)
        return Told(deed=deed, line=line, after=after, foreign=foreign)

    def drawn(self, told: Told, number: int, dice: random.Random) -> tuple[int, ...]:
        """Draw so many moments of a deed, in the order in which they came."""
        moments = self.spans[told.deed.name].moments
        return tuple(sorted(dice.sample(moments, min(number, len(moments)))))

    def cut(self, told: Told, moment: int) -> tuple[str, ...]:
        """Have the power go after so many entries; return what is wrong when all is done again."""
        self._layers.go(moment)
        wrong = []
        recovered = self.host.run("kvmkeep recover", limit=600)
        if recovered.returncode not in _GOOD:
            wrong.append(f"recover: {recovered.returncode}\n{recovered.stdout}{recovered.stderr}")
        said: list[str] = []
        while (now := _seen(self.host)) != told.after and len(said) < TRIES:
            once_more = self.host.run(told.line, limit=1500)
            said.append(f"{once_more.returncode}\n{once_more.stdout}{once_more.stderr}")
        if now != told.after:
            wrong.append("\n".join((_differing(told.after, now), *said)))
        if self.host.must(_FOREIGN) != told.foreign:
            wrong.append("foreign things have changed")
        plan = self.host.kvmkeep("plan", "--exit-code")
        if plan.returncode:
            wrong.append(f"the plan is not empty:\n{plan.stdout}{plan.stderr}")
        return tuple(wrong)


def _seen(host: Host) -> str:
    return _STAMP.sub("STAMP", host.must(_LOOKS))


def _differing(should: str, now: str) -> str:
    lines = difflib.unified_diff(
        should.splitlines(), now.splitlines(), "as it should be", "as it is", lineterm="", n=0
    )
    return "\n".join(lines)
