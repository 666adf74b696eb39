"""What the command line offers, read from the parsers themselves: for completion and its tests."""

from __future__ import annotations

import argparse

from kvmkeep.cli.parser import Parser, build


def parsers() -> dict[str, Parser]:
    """Return each verb's parser, with all its options."""
    top = build()
    chooser = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001 - argparse has no other way
    found: dict[str, Parser] = dict(chooser.choices)
    for parser in found.values():
        parser.fill()
    return found


def options(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """Return the long options of a parser, in the order of its help."""
    return tuple(
        name
        for action in parser._actions  # noqa: SLF001 - see above
        for name in action.option_strings
        if name.startswith("--")
    )


def own_options(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """Return the long options that only this verb has."""
    shared = ("--help", *GLOBAL_OPTIONS)
    return tuple(name for name in options(parser) if name not in shared)


def takes_guests(parser: argparse.ArgumentParser) -> bool:
    """Whether the verb's words are names of guests."""
    return any(action.metavar == "GUEST" for action in parser._actions)  # noqa: SLF001 - see above


GLOBAL_OPTIONS = ("--spec", "--connect", "--json", "--verbose", "--debug")
