"""`kvmkeep list -l` in a process of its own, with programs of a directory before the real ones.

`python -m bench.silent DIRECTORY WORD...` runs `kvmkeep WORD...`: libvirt's test driver has no
guest agents, so the virsh that asks them is a script of the bench.
"""

from __future__ import annotations

import sys

from kvmkeep.cli.context import Stages
from kvmkeep.cli.main import main
from kvmkeep.host.environment import PATH, environment
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.host.run import Setting

if __name__ == "__main__":
    directory, *words = sys.argv[1:]
    door = MachineDoor(Setting(environment=environment((directory, *PATH))))
    sys.exit(main(words, Stages(door=door)))
