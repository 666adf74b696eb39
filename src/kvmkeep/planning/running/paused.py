"""Guests that stand still: they have a QEMU process, and do nothing."""

from __future__ import annotations

import shlex

from kvmkeep.model.domain_facts import Domain, DomainState
from kvmkeep.model.plan import Refusal

STILL = frozenset({DomainState.PAUSED, DomainState.SUSPENDED, DomainState.CRASHED})
"""Crashed is one whose kernel panicked, with `<on_crash>preserve`, or while its memory is dumped.

One whose QEMU died is shut off, and crashed is the reason for that (libvirt's domain states).
"""
_ENDED = frozenset({DomainState.CRASHED, DomainState.SHUTDOWN})


def paused_text(domain: Domain) -> str:
    """Return how a guest stands still, and why where libvirt tells."""
    if domain.state is DomainState.SUSPENDED:
        return "it has put itself to sleep"
    if domain.state is DomainState.CRASHED:
        return "it crashed, and stands still"
    if domain.state is DomainState.SHUTDOWN:
        return "it has shut down, but its QEMU is still there"
    return f"it is paused ({domain.why})" if domain.why else "it is paused"


def how_to_continue(domain: Domain, *, ours: bool = True) -> str:
    """Return what is to be done about a guest that stands still, and how."""
    anew = "start it anew" if domain.state in _ENDED else "let it go on"
    return f"{anew}: {continuing(domain, ours=ours)}"


def continuing(domain: Domain, *, ours: bool = True) -> str:
    """Return what to type for a guest that stands still; `ours` where kvmkeep's verbs know it."""
    by, name = ("kvmkeep" if ours else "virsh"), shlex.quote(domain.name)
    if domain.state in _ENDED:
        return f"{by} {'poweroff' if ours else 'destroy'} {name}; {by} start {name}"
    if domain.state is DomainState.SUSPENDED and not ours:
        return f"virsh dompmwakeup {name}"
    return f"{by} resume {name}"


def standing(domain: Domain, *, ours: bool = True) -> Refusal | None:
    """Return why a domain can't be asked for anything, if it stands still."""
    if domain.state not in STILL:
        return None
    return Refusal(
        subject=f"guest {domain.name}",
        reason=f"{paused_text(domain)}, so it can't hear anything",
        hint=how_to_continue(domain, ours=ours),
    )
