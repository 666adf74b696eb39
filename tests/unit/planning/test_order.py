from __future__ import annotations

import pytest

from kvmkeep.model.units import GuestName
from kvmkeep.planning.order import in_order
from tests.unit.planning.build import guest, spec


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
