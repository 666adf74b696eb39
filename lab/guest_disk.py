"""The disk with the guest images, which the lab sees under /srv/images."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.state import State


def plug_in(state: State) -> None:
    """Attach the disk with the guest images, if they are built and not attached."""
    del state
