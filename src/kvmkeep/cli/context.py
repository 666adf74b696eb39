"""What every verb is given: the global options, the streams, and the way to the other stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvmkeep.cli.streams import Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The options that every verb takes.

    `spec_dir` is the spec's directory, `connect` libvirt's URI. `json` asks for JSON, `verbose`
    for each command.
    """

    spec_dir: str
    connect: str
    json: bool
    verbose: bool
    debug: bool
    streams: Streams
