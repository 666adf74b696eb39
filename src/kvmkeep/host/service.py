"""What a service tells the systemd that has started it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def tell_ready() -> None:
    """Tell systemd that this service has started, if it waits for that (sd_notify(3))."""
    place = os.environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    # A name of Linux's own, which is no file, is written with an @ (unix(7), "abstract").
    address = f"\0{place[1:]}" if place.startswith("@") else place
    # Nobody to listen is the service manager's trouble, and must not keep guests from starting.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(b"READY=1", address)
