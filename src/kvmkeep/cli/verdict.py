"""The verdict of a proof, for a person: each rung, and where the console's last screen lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvmkeep.model.proof import Proof


def text(proof: Proof) -> str:
    """Return a verdict for a person."""
    from kvmkeep.model.text import one_line

    wide = max((len(rung.name) for rung in proof.rungs), default=0)
    lines = [
        f"  {rung.name.ljust(wide)}  {'held' if rung.passed else 'FELL'}  {rung.seconds:8.1f} s"
        + (f"  {one_line(rung.detail)}" if rung.detail else "")
        for rung in proof.rungs
    ]
    fell = "could NOT be tried to the end" if proof.untried else "did NOT prove good"
    verdict = "is proven" if proof.proven else fell
    head = f"Backup {proof.guest}@{proof.moment} in {proof.repository} {verdict}."
    head += f" It had {one_line(proof.little)} of memory." if proof.little else ""
    lines += [f"  QEMU may not read it; {proof.mend}"] if proof.mend else []
    return "\n".join([head, *lines, f"  the console's last screen: {one_line(proof.screen)}"])
