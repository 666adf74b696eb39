"""The proof of a backup: what a guest is called that is started from one, and how we know it.

Such a guest is never one of the spec: its domain, its LVs and its bridge wear marks of their own,
and no other verb sees them.
"""

from __future__ import annotations

import hashlib
import uuid

PROOF_URI = "urn:kvmkeep:proof:1"
"""Namespace of the element in the `<metadata>` of a domain that was started from a backup."""
PROOF_KEY = "kvmkeep-proof"
"""Prefix of that namespace."""
TAG_PROOF = "kvmkeep.proof="
"""On an LV that takes what such a guest writes: of which guest's backup it is the proof.

It is made before anything else of a proof, and removed last: while there is one, a proof goes on
or was killed.
"""

_DOMAIN = "kvmkeep-proof-"
_BRIDGE = "kkproof-"
_NAMESPACE = uuid.UUID("0d3f3bfe-5f0c-5b0a-8c5e-6b766d6b6570")


def proof_domain(guest: str) -> str:
    """Return the name of the domain that is started from a guest's backup."""
    return f"{_DOMAIN}{guest}"


def is_proof_domain(name: str) -> bool:
    """Whether a domain's name is that of a proof."""
    return name.startswith(_DOMAIN)


def proof_uuid(host: str, guest: str) -> str:
    """Return that domain's UUID: name-based, and never the guest's own."""
    return str(uuid.uuid5(_NAMESPACE, f"proof/{host}/{guest}"))


def proof_bridge(guest: str) -> str:
    """Return the name of its bridge; an interface's name has at most 15 characters."""
    return _BRIDGE + hashlib.sha256(guest.encode()).hexdigest()[:6]


def proof_lv(guest: str, disk: str) -> str:
    """Return the LV that takes what is written to a disk during the proof."""
    return f"{_DOMAIN}{guest}-{disk}"
