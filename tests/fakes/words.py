"""Command lines taken apart strictly: an option that is not expected is a mistake of the caller."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from kvmkeep.model.command import Command


class UnknownCommandError(AssertionError):
    """The fake does not know this command line; the real tool might do anything with it."""


@dataclass(frozen=True)
class Words:
    """Options with their values (in order, for repeated ones), and what is left."""

    values: dict[str, list[str]] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    rest: tuple[str, ...] = ()

    def one(self, option: str) -> str:
        found = self.values.get(option, [])
        if len(found) != 1:
            raise UnknownCommandError(f"{option} is needed once, and was given {found}")
        return found[0]


def take_apart(
    argv: tuple[str, ...], *, values: str = "", flags: str = "", needs: str = ""
) -> Words:
    """Split an argv (without the program); `values`, `flags`, `needs` are lists with spaces."""
    known_values, known_flags = values.split(), flags.split()
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    rest: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            rest += words
            break
        if word in known_flags:
            seen.add(word)
        elif word in known_values and words:
            found.setdefault(word, []).append(words.pop(0))
        elif equals and name in known_values:
            found.setdefault(name, []).append(value)
        elif word.startswith("-"):
            raise UnknownCommandError(f"unknown option {word} in {argv}")
        else:
            rest.append(word)
    missing = set(needs.split()) - seen - found.keys()
    if missing:
        raise UnknownCommandError(f"{sorted(missing)} missing in {argv}")
    return Words(values=found, flags=frozenset(seen), rest=tuple(rest))


ASIDE = (
    "systemd-run", "--scope", "--quiet", "--slice=machine.slice", "--property=CPUWeight=10", "--",
    "choom", "--adjust=1000", "--", "ionice", "--class=idle",
)  # fmt: skip


APART = (
    "--pdeathsig=KILL", "unshare", "--uts", "--pid", "--fork", "--kill-child", "--", "sh", "-c",
)  # fmt: skip


def among_others(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return what setpriv(1) runs in the end: the program that no other is to hear of."""
    assert argv[: len(APART)] == APART
    assert argv[len(APART)].endswith('exec "$@"')
    assert argv[len(APART) + 1] == "unlock"
    return argv[len(APART) + 2 :]


def standing_ahead(command: Command) -> Command:
    """Return a command without what has it stand back behind the guests."""
    if command.argv[:2] != ASIDE[:2]:
        return command
    assert command.argv[: len(ASIDE)] == ASIDE
    return replace(command, argv=command.argv[len(ASIDE) :])
