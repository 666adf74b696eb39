"""What the command line offers, read from the parsers themselves: for completion and its tests."""

from __future__ import annotations

import argparse

from kvmkeep.cli.parser import Parser, build
from kvmkeep.cli.verbs import SUBVERBS


def parsers() -> dict[str, Parser]:
    """Return each verb's parser, with all its options; those of `snapshot` by two words."""
    found: dict[str, Parser] = {}
    for parser in _choices(build()).values():
        parser.fill()
        inner = _choices(parser) if parser.verb in SUBVERBS else {}
        for one in inner.values():
            one.fill()
            found[one.verb] = one
        if not inner:
            found[parser.verb] = parser
    return found


def _choices(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    choosers = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001 - argparse has no other way
    return dict(next(choosers).choices)


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
    words = (action for action in parser._actions if not action.option_strings)  # noqa: SLF001 - see above
    return any(action.metavar == "GUEST" for action in words)


GLOBAL_OPTIONS = ("--spec", "--connect", "--json", "--verbose", "--debug")
