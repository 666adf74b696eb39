"""What several runs of one command print as JSON, as one document."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from kvmkeep.cli.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvmkeep.cli.context import Context


class Gathering(Streams):
    """Keeps the documents that it is given, in place of printing them."""

    def __init__(self, streams: Streams) -> None:
        super().__init__(None, streams.err)
        self.spec_dir = streams.spec_dir
        self.documents: list[dict[str, object]] = []

    def json(self, text: str, *, foreign: bool = False) -> None:  # noqa: ARG002 - theirs has it
        """Keep a document; that of all has the version."""
        import json

        document: dict[str, object] = json.loads(text)
        self.documents.append({key: document[key] for key in document if key != "version"})
        self.printed = True


@contextmanager
def one_document(ctx: Context) -> Iterator[Context]:
    """Yield what the runs work with; in the end their documents are printed as a list, `runs`.

    Where one ends it with an error before any was made, the error is the document.
    """
    if not ctx.json:
        yield ctx
        return
    streams = Gathering(ctx.streams)
    failed = True
    try:
        yield replace(ctx, streams=streams)
        failed = False
    finally:
        if streams.documents or not failed:
            ctx.print_json({"runs": streams.documents})
