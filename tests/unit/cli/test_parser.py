from __future__ import annotations

import pytest

from kvmkeep.cli.catalog import options, own_options, parsers, takes_guests
from kvmkeep.cli.parser import build
from kvmkeep.cli.verbs import VERBS
from kvmkeep.errors import UsageError

SMALLEST = {
    "report": ["--html", "host.html"],
    "show": ["web"],
    "console": ["web"],
    "start": ["web"],
    "shutdown": ["web"],
    "rename": ["web", "shop"],
    "clone": ["web", "shop"],
    "inspect": ["web"],
    "copy-out": ["web", "/etc/fstab", "."],
    "copy-in": ["web", "motd", "/etc"],
    "tweak": ["web"],
    "shell": ["web"],
    "autostart": ["web", "on"],
    "completion": ["bash"],
    "snapshot create": ["web"],
    "snapshot revert": ["web", "20261123T0710Z"],
    "snapshot delete": ["web", "20261123T0710Z"],
    "blocks receive": ["/dev/x", "true", "--blocks", "/x.blocks"],
    "blocks verify": ["/dev/x", "--blocks", "/x.blocks"],
    "rung": ["a", "true", "--into", "/x"],
    "guest-run": ["web", "true"],
    "neighbour": ["virbr1.223", "fd00::1"],
    "remove": ["web"],
    "backup run": ["web"],
    "backup show": ["web"],
    "backup prove": ["web"],
    "backup restore": ["web"],
    "backup copy-out": ["web", "/etc/fstab", "."],
    "backup init": ["vault"],
    "backup forget": ["web"],
    "blocks send": ["/dev/vg/lv", "--blocks=/run/root.blocks", "--size=4096", "restic"],
    "with-environment": ["--file=/root/keys", "restic"],
    "trash restore": ["web-20261123T0710Z"],
}
LEAVES = tuple(parsers())
GLOBALS = {"--spec", "--connect", "--json", "--verbose", "--debug", "--help"}


def test_the_verbs_are_those_of_the_requirement() -> None:
    wanted = "validate init observe plan apply status list show console start shutdown journal"
    assert set(wanted.split()) <= set(VERBS)


@pytest.mark.parametrize("verb", LEAVES)
def test_each_verb_is_parsed_with_its_smallest_arguments(verb: str) -> None:
    found = build().parse_args([*verb.split(), *SMALLEST.get(verb, [])])
    assert found.verb == verb
    assert found.spec_dir == "/etc/kvmkeep"
    assert found.connect == "qemu:///system"
    assert found.json is False


@pytest.mark.parametrize("verb", LEAVES)
@pytest.mark.parametrize("before", [True, False])
def test_global_options_stand_on_either_side_of_a_verb(verb: str, before: bool) -> None:  # noqa: FBT001
    given = ["--spec", "/x", "--connect", "test:///default", "--json", "-v", "--debug"]
    words = [*verb.split(), *SMALLEST.get(verb, [])]
    found = build().parse_args([*given, *words] if before else [*words, *given])
    assert (found.spec_dir, found.connect) == ("/x", "test:///default")
    assert (found.json, found.verbose, found.debug) == (True, True, True)


@pytest.mark.parametrize("verb", LEAVES)
def test_each_verb_has_the_global_options(verb: str) -> None:
    assert set(options(parsers()[verb])) >= GLOBALS


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["plan", "--nonsense"],
        ["--jso", "list"],
        ["show"],
        ["show", "a", "b"],
        ["autostart", "web"],
        ["shutdown", "--limit", "soon", "web"],
        ["console", "--lines", "x", "web"],
        ["completion", "fish"],
        ["schema", "host"],
        ["--spec"],
    ],
)
def test_a_wrong_line_is_a_usage_error_with_a_hint(words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        build().parse_args(words)
    assert "--help" in caught.value.hint


def test_a_word_too_many_leads_to_the_help_of_its_verb() -> None:
    with pytest.raises(UsageError, match="snapshot list takes no '-l'") as caught:
        build().parse_args(["snapshot", "list", "-l"])
    assert caught.value.hint == "type: kvmkeep snapshot list --help"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bakup", "list"], "there is no verb 'bakup'; did you mean backup?"),
        (["backup", "lst"], "there is no verb 'lst' of backup; did you mean list?"),
        (["rungs"], "there is no verb 'rungs'"),  # the inner one is not what was meant
        (["x" * 100_000], f"there is no verb '{'x' * 100_000}'"),
    ],
)
def test_a_verb_that_there_is_not_is_told_with_the_one_it_is_like(
    words: list[str], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build().parse_args(words)
    assert caught.value.message == told


def test_guests_are_the_words_of_the_verbs_about_guests() -> None:
    found = {verb for verb, parser in parsers().items() if takes_guests(parser)}
    life = {"start", "shutdown", "reboot", "suspend", "resume", "poweroff", "autostart"}
    plain = {"plan", "apply", "list", "show", "console", "rename", "clone", "copy-out", "remove"}
    plain |= {"shell"}
    words = ("create", "list", "revert", "delete", "watch")
    plain |= {"adopt", "release", "backup run", "backup list", "backup rebuild"}
    assert found == life | plain | {f"snapshot {word}" for word in words}


def test_options_of_one_verb_are_known() -> None:
    assert own_options(parsers()["apply"]) == ("--yes", "--dry-run")
    assert own_options(parsers()["validate"]) == ()
