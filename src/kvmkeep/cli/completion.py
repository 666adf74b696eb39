"""`kvmkeep completion`: a script for the shell, made from the parsers, so that it never lags."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context


class Args(Struct, frozen=True, kw_only=True):
    """Which shell."""

    shell: str


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell to make it for")


def run(args: Args, ctx: Context) -> int:
    """Print the script."""
    ctx.streams.script(script(args.shell))
    return 0


def script(shell: str) -> str:
    """Return the completion script of a shell."""
    from kvmkeep.cli.catalog import own_options, parsers, takes_guests
    from kvmkeep.cli.verbs import SUBVERBS, VERBS

    found = parsers()
    own = {verb: " ".join(own_options(parser)) for verb, parser in found.items()}
    guests = "|".join(_pattern(verb) for verb, parser in found.items() if takes_guests(parser))
    parts = {
        "@BASH_CASES@": "\n".join(
            f'        {_pattern(verb)}) options="$global {words}" ;;'.replace(' "', '"')
            for verb, words in own.items()
        ),
        "@ZSH_CASES@": "\n".join(
            f"        ({_pattern(verb)}) options+=({words}) ;;" for verb, words in own.items()
        ),
        "@ZSH_VERBS@": "\n".join(
            f"                '{verb}:{summary}'"
            for verb, summary in ((v, s.replace("'", "'\\''")) for v, s in VERBS.items())
        ),
        "@BASH_SUBVERBS@": "\n".join(
            f'        "{verb} ") words="{" ".join(sub)}" ;;' for verb, sub in SUBVERBS.items()
        ),
        "@ZSH_SUBVERBS@": "\n".join(
            f'        ("{verb} ") compadd -- {" ".join(sub)} ;;' for verb, sub in SUBVERBS.items()
        ),
        "@VERBS@": " ".join(VERBS),
        "@GUEST_VERBS@": guests,
    }
    text = files("kvmkeep").joinpath(f"data/completion.{shell}").read_text("utf-8")
    for mark, value in parts.items():
        text = text.replace(mark, value)
    return text


def _pattern(verb: str) -> str:
    """Return what matches the verb and its second word; most verbs have none of their own."""
    return f'"{verb}"' if " " in verb else f'"{verb} "*'
