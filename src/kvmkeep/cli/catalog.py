"""What the command line offers, read from the parsers themselves: for completion and its tests."""

from __future__ import annotations

import argparse

from kvmkeep.cli.parser import Parser, of_verb
from kvmkeep.cli.verbs import SUBVERBS, VERBS


def parsers() -> dict[str, Parser]:
    """Return each verb's parser, with all its options; those of `snapshot` by two words."""
    found: dict[str, Parser] = {}
    for name in VERBS:
        for verb in [f"{name} {one}" for one in SUBVERBS.get(name, ())] or [name]:
            found[verb] = of_verb(verb)
            found[verb].fill()
    return found


def options(parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """Return the long options of a parser, in the order of its help."""
    return tuple(
        name
        for action in parser._actions  # noqa: SLF001 - argparse has no other way
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
