"""From the command line to an exit code: the border at which an unknown error is caught."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from kvmkeep.cli.explain import error_json, explain
from kvmkeep.cli.parser import build
from kvmkeep.cli.streams import Streams
from kvmkeep.cli.verbs import load
from kvmkeep.errors import Interrupted, KvmkeepError, SpecError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from kvmkeep.cli.context import Context
    from kvmkeep.cli.stages import Stages

BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended (128 + 13)."""


def main(argv: Sequence[str] | None = None, stages: Stages | None = None) -> int:
    """Run one command line and return its exit code; `stages` stand in for the machine's."""
    # The values of a run live until its end; at the default of 700, Python looks for cycles among
    # all of them again and again (gc, "set_threshold").
    gc.set_threshold(50_000)
    streams = Streams.of_process()
    arguments = sys.argv[1:] if argv is None else argv
    code = _guarded(arguments, streams, stages)
    if streams.trouble:
        streams.talk(f"kvmkeep: the result could not be written: {streams.trouble}")
        return code or 1
    return BROKEN_PIPE if streams.gone and code == 0 else code


def _guarded(arguments: Sequence[str], streams: Streams, stages: Stages | None) -> int:
    context: Context | None = None
    debug = "--debug" in arguments
    try:
        namespace = build().parse_args(arguments)
        context = _context(namespace, arguments, streams, stages)
        return run(namespace, context)
    except KvmkeepError as error:
        words = [*arguments, "--"]
        early = "--json" in words[: words.index("--")]  # behind it are words of other programs
        return report(error, streams, as_json=early if context is None else context.json)
    except KeyboardInterrupt:
        streams.talk("kvmkeep: interrupted")
        return Interrupted.exit_code
    except SystemExit as leaving:  # argparse: --help and --version
        streams.flush()
        return leaving.code if isinstance(leaving.code, int) else 0
    except BrokenPipeError:
        streams.gone = True
        return 0
    except Exception as error:  # noqa: BLE001 - the border: everything else is a bug of ours
        from kvmkeep.cli.bug import report_bug

        return report_bug(error, streams, debug=debug)


def run(namespace: argparse.Namespace, context: Context) -> int:
    """Run the chosen verb: its arguments become its own value first."""
    verb = load(namespace.verb)
    values = {name: getattr(namespace, name) for name in verb.Args.__struct_fields__}
    frozen = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return verb.run(verb.Args(**frozen), context)


def report(error: KvmkeepError, streams: Streams, *, as_json: bool = False) -> int:
    """Say what went wrong, what to do, and whether anything was touched."""
    if as_json and not streams.printed:
        streams.json(error_json(error))
    # Of a spec, the message begins with file:line:column: an editor jumps there.
    explain(error, streams, begin="" if isinstance(error, SpecError) else "kvmkeep: ")
    return error.exit_code


def _context(
    namespace: argparse.Namespace,
    arguments: Sequence[str],
    streams: Streams,
    stages: Stages | None,
) -> Context:
    from kvmkeep.cli.context import Context
    from kvmkeep.cli.stages import Stages

    streams.spec_dir = namespace.spec_dir
    return Context(
        spec_dir=namespace.spec_dir,
        connect=namespace.connect,
        json=namespace.json,
        verbose=namespace.verbose,
        debug=namespace.debug,
        streams=streams,
        argv=tuple(arguments),
        stages=stages or Stages(),
    )
