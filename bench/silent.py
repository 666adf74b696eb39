"""`kvmkeep list -l` in a process of its own, with programs of a directory before the real ones.

`python -m bench.silent DIRECTORY WORD...` runs `kvmkeep WORD...`: libvirt's test driver has no
guest agents, so the virsh that asks them is a script of the bench.
"""

from __future__ import annotations

import sys

from msgspec.structs import replace

from kvmkeep.cli.main import main
from kvmkeep.cli.stages import MachineStages
from kvmkeep.host.door import Door
from kvmkeep.host.environment import PATH, environment
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.host.run import Setting


class SilentStages(MachineStages):
    """This machine's, where the programs of a directory are found before its own."""

    def __init__(self, directory: str) -> None:
        self._environment = environment((directory, *PATH))

    def door(self, setting: Setting | None = None) -> Door:
        """Return the door to the machine."""
        return MachineDoor(replace(setting or Setting(), environment=self._environment))


if __name__ == "__main__":
    directory, *words = sys.argv[1:]
    sys.exit(main(words, SilentStages(directory)))
