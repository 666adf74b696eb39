"""Commands about a proof that was killed, which do nothing once another proof has begun.

Whoever plans them holds another lock than proofs do, and a proof may begin at any moment under the
same names. So each of them takes the lock of proofs for as long as it runs.
"""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.command import Command
from kvmkeep.model.names import PROOF_LOCK

_TAKEN = 75
"""None of the commands ends so by itself (sysexits.h: EX_TEMPFAIL)."""
# flock(1). A moment is waited for whoever only looks whether the lock is taken. --close: a daemon
# that a tool starts on its way would hold the lock for ever.
WORDS = ("flock", "--close", "--wait=2", f"--conflict-exit-code={_TAKEN}", PROOF_LOCK)


def unless_proving(command: Command) -> Command:
    """Return a command that counts as done where a proof is at work: that tidies up by itself."""
    return replace(command, argv=(*WORDS, *command.argv), ok=(*command.ok, _TAKEN))
