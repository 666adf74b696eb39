"""The program `kvmkeep`, and `python -m kvmkeep`."""

from __future__ import annotations

import sys

from kvmkeep.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
