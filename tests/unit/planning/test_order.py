from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.spec import Guest
from kvmkeep.model.units import GuestName
from kvmkeep.planning.plan import make_plan
from kvmkeep.planning.running.order import in_order, unwilling_needs
from tests.unit.planning.build import GIB, IMAGE, guest, spec


def ordered(needs: dict[str, str], names: str = "", *, with_needs: bool = False) -> list[str]:
    guests = [
        guest(name, needs=tuple(GuestName(need) for need in text.split()))
        for name, text in needs.items()
    ]
    order = in_order(
        spec(*guests), [GuestName(n) for n in (names.split() or needs)], with_needs=with_needs
    )
    return [one.name for one in order.guests] + [r.reason for r in order.refusals]


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        ({"b": "", "a": ""}, "b a"),
        ({"a": "b", "b": ""}, "b a"),
        ({"a": "b c", "b": "c", "c": ""}, "c b a"),
        ({"a": "c", "b": "c", "c": "d", "d": ""}, "d c a b"),
        ({"a": "c b", "b": "", "c": ""}, "c b a"),
    ],
)
def test_what_is_needed_comes_first(needs: dict[str, str], expected: str) -> None:
    assert ordered(needs) == expected.split()


def test_only_the_named_ones_but_still_in_order() -> None:
    needs = {"a": "b", "b": "c", "c": "", "d": ""}
    assert ordered(needs, "a c") == ["c", "a"]
    assert ordered(needs, "a", with_needs=True) == ["c", "b", "a"]


def test_long_chains_are_no_trouble() -> None:
    needs = {f"g{n}": f"g{n + 1}" for n in range(5000)} | {"g5000": ""}
    assert ordered(needs)[0] == "g5000"


def test_circles_are_named() -> None:
    assert ordered({"a": "b", "b": "c", "c": "b"})[-1] == (
        "the guests need each other in a circle: b -> c -> b"
    )
    assert "circle: a -> a" in ordered({"a": "a"})[-1]


def acts(cpus: int, *guests: Guest) -> list[str]:
    """Return when guests are started (`web+`) and waited for (`web.`)."""
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(*guests)
    steps = make_plan(wanted, replace(host.facts(wanted), cpus=cpus)).steps
    marks = {"start it": "+", "wait until": "."}
    return [
        step.subject.removeprefix("guest ") + mark
        for step in steps
        for words, mark in marks.items()
        if step.what.startswith(words)
    ]


def test_first_boots_overlap_as_many_as_there_are_cpus() -> None:
    three = (guest("a"), guest("b"), guest("c"))
    assert acts(8, *three) == ["a+", "b+", "c+", "a.", "b.", "c."]
    assert acts(2, *three) == ["a+", "b+", "a.", "c+", "b.", "c."]


def test_needing_a_guest_that_does_not_start_with_the_host_is_told() -> None:
    lazy = guest("c", autostart=False)
    wanted = spec(guest("a", needs=(GuestName("c"),)), guest("b"), lazy)
    assert [note.subject for note in unwilling_needs(wanted, wanted.guests)] == ["guest a"]
    wanted = spec(guest("a", needs=(GuestName("c"),), autostart=False), lazy)
    assert unwilling_needs(wanted, wanted.guests) == ()


def test_a_guest_is_ready_before_one_that_needs_it_starts() -> None:
    pair = (guest("b", needs=("c",)), guest("c"), guest("a"))
    assert acts(8, *pair) == ["c+", "c.", "b+", "a+", "b.", "a."]
