"""The command line: global options before or after the verb, one parser per verb."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn, cast

from kvmkeep import __version__
from kvmkeep.cli.hints import SPEC_DIR
from kvmkeep.cli.streams import columns
from kvmkeep.cli.verbs import INNER, SUBVERBS, VERBS, load
from kvmkeep.errors import PluginUsageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _typeshed import SupportsWrite

_USAGE = "usage: "
URI = "qemu:///system"

_ABOUT = "Keeps one plain Linux server as a KVM server that critical guests can depend on."
_END = (
    "Exit codes: 0 done or nothing to do; 1 a bug; 2 usage; 3 mistakes in the spec; 4 refused; "
    "5 host not ready; 6 busy; 7 stopped at a step; 8 not converged; 9 differences; "
    "130 interrupted or answered no. Codes 2 to 6: nothing was touched. See kvmkeep(1)."
)


class _Formatter(argparse.HelpFormatter):
    """Help as wide as the terminal, `-v, --verbose FILE` written once, on every Python."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=columns(sys.stdout) - 2)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        names = ", ".join(action.option_strings)
        if action.nargs == 0:
            return names
        return f"{names} {self._format_args(action, action.dest.upper())}"


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are our errors, and whose options are added when it is used."""

    def __init__(self, *, verb: str = "", **options: object) -> None:
        super().__init__(
            prog=str(options.get("prog", "kvmkeep")),
            description=str(options.get("description", _ABOUT)),
            epilog=None if verb else _END,
            formatter_class=_Formatter,
            allow_abbrev=False,
        )
        self.verb = verb
        self._filled = False

    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """Add the verb's own options first, now that it is the chosen one."""
        self.fill()
        return super().parse_known_args(args, namespace)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Return what was typed; what no option or word of the verb is refuses the line."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            hint = f"type: {self.prog} {found.verb} --help"
            raise _wrong(found.verb)(
                f"{found.verb} takes no {' '.join(map(repr, rest))}", hint=hint
            )
        return found

    def fill(self) -> None:
        """Add the options of this parser's verb, once."""
        if self.verb and not self._filled:
            self._filled = True
            if self.verb in SUBVERBS:
                _add_verbs(self, self.verb)
            else:
                load(self.verb).add(self)
            needed = [_option(a) for a in self._actions if a.option_strings and a.required]
            words = [_word(a) for a in self._actions if not a.option_strings]
            self.usage = _usage([self.prog, "[OPTION...]", *needed, *words])
            _add_globals(self, inherit=True)

    def _check_value(self, action: argparse.Action, value: str) -> None:
        """Refuse a verb that there is not, with the one that it is like; else as argparse does."""
        if not isinstance(action, _Verbs) or value in action.choices:
            super()._check_value(action, value)
            return
        import difflib

        known = [name for name in action.choices if name not in INNER]
        close = difflib.get_close_matches(value[:100], known, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        where = f" of {self.verb}" if self.verb else ""
        self.error(f"there is no verb {value!r}{where}{meant}")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Write help to stdout; where the caller closed that, it is None and help goes nowhere."""
        if file is not None:
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line."""
        raise _wrong(self.verb)(message, hint=f"type: {self.prog} --help")


def _wrong(verb: str) -> type[UsageError]:
    return PluginUsageError if verb == "check" else UsageError


def _add_globals(parser: argparse.ArgumentParser, *, inherit: bool) -> None:
    """Add the options that every verb takes, on either side of it.

    A verb's parser must not overwrite with its defaults what stood before the verb.
    """
    group = parser.add_argument_group("options of every verb")

    def default(value: object) -> object:
        return argparse.SUPPRESS if inherit else value

    group.add_argument(
        "--spec", metavar="DIR", dest="spec_dir", default=default(SPEC_DIR),
        help=f"the spec's directory (default {SPEC_DIR})",
    )  # fmt: skip
    group.add_argument(
        "--connect",
        metavar="URI",
        default=default(URI),
        help=f"the libvirt to look at (default {URI})",
    )
    group.add_argument(
        "--json", action="store_true", default=default(value=False), help="print JSON"
    )
    group.add_argument(
        "-v", "--verbose", action="store_true", default=default(value=False),
        help="show each command",
    )  # fmt: skip
    group.add_argument(
        "--debug", action="store_true", default=default(value=False),
        help="show the traceback of a bug",
    )  # fmt: skip


def build() -> Parser:
    """Return the whole parser; the options of a verb are added when it is chosen."""
    parser = Parser()
    parser.usage = "kvmkeep [OPTION...] VERB ..."
    parser.add_argument("--version", action="version", version=f"kvmkeep {__version__}")
    _add_globals(parser, inherit=False)
    _add_verbs(parser)
    return parser


def of_verb(verb: str) -> Parser:
    """Return the parser of a verb, such as `list` or `snapshot create`."""
    *group, name = verb.split()
    summary = SUBVERBS[group[0]][name] if group else VERBS[name]
    made = Parser(verb=verb, prog=f"kvmkeep {verb}", description=_sentence(summary))
    made.set_defaults(verb=verb)
    return made


class _Verbs(argparse._SubParsersAction):  # type: ignore[type-arg]  # noqa: SLF001 - argparse has no other way
    """The verbs by name. There are many: only the chosen one's parser is made."""

    def offer(self, name: str, verb: str, summary: str) -> None:
        """Let the command line have a verb; inner ones are not listed in the help."""
        self._name_parser_map[name] = verb
        if name not in INNER:
            self._choices_actions.append(self._ChoicesPseudoAction(name, (), summary))

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,
        option_string: str | None = None,
    ) -> None:
        """Make the chosen verb's parser, and let it read the rest."""
        name, *_ = values or ()
        self._name_parser_map[name] = of_verb(self._name_parser_map[name])
        super().__call__(parser, namespace, values, option_string)


def _add_verbs(parser: argparse.ArgumentParser, of: str = "") -> None:
    """Add the verbs, or those that a verb is made of; the chosen one is in `verb` in full."""
    verbs = cast(
        "_Verbs",
        parser.add_subparsers(
            title="verbs", dest="verb", metavar="VERB", required=True, action=_Verbs
        ),
    )
    for name, summary in (SUBVERBS[of] if of else VERBS).items():
        verbs.offer(name, f"{of} {name}".strip(), summary)


def _usage(words: list[str]) -> str:
    """Return the line of usage, broken where it gets too long."""
    room = columns(sys.stdout) - len(_USAGE)
    lines = words[:1]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return f"\n{' ' * len(_USAGE)}".join(lines)


def _option(action: argparse.Action) -> str:
    return f"{action.option_strings[-1]} {action.metavar}"


def _word(action: argparse.Action) -> str:
    """Return a word of the command line as usage shows it."""
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no other way
        return "VERB ..."
    name = str(action.metavar or "|".join(action.choices or (action.dest,)))
    forms = {"*": f"[{name}...]", "+": f"{name}...", "?": f"[{name}]"}
    return forms.get(str(action.nargs), name)


def _sentence(summary: str) -> str:
    return summary[:1].upper() + summary[1:] + "."
