"""NICs whose place in the list moved: nobody takes another one's place without being told to."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest
from fakes.host import FakeHost
from msgspec.structs import replace

from kvmkeep.model.spec import Guest, Nic
from kvmkeep.model.units import Mac
from tests.unit.planning.build import nic
from tests.unit.planning.rounds import reach
from tests.unit.planning.served import planned, serving, site

PUBLIC = nic("web")
INNER = nic("web", 1, on="internal", gateway=None)
LAST = nic("web", 2, gateway=None)
OTHER = Mac("52:54:00:0a:0b:0c")


def with_three() -> tuple[FakeHost, Guest]:
    return serving(nics=(PUBLIC, INNER, LAST))


def at(position: int, like: Nic, **changes: object) -> Nic:
    """Return a NIC at another place in the list: with the MAC address of that."""
    return replace(like, mac=nic("web", position).mac, **changes)


def told(host: FakeHost, web: Guest, *nics: Nic) -> tuple[str, str]:
    (refusal,) = planned(host, replace(web, nics=nics)).refusals
    return refusal.reason, refusal.hint


def macs(host: FakeHost) -> set[str]:
    found = host.libvirt.domains["web"].live.iterfind("devices/interface/mac")
    return {one.get("address") for one in found}


def test_one_taken_out_of_the_middle_does_not_give_its_place_to_the_next() -> None:
    host, web = with_three()
    reason, hint = told(host, web, PUBLIC, at(1, LAST))
    assert reason == (
        f"its NIC 2 on network public has no `mac`; by its place in the list it would be "
        f"{INNER.mac}, which is on virbr1.2368, in place of {LAST.mac}, which is there now"
    )
    assert f"to keep {LAST.mac} there, write `mac: {LAST.mac}` into it" in hint
    assert f"write `mac: {INNER.mac}` into it (" in hint


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_written_is_done(kept: bool) -> None:  # noqa: FBT001 - a parameter
    host, web = with_three()
    second = LAST if kept else at(1, LAST)
    reach(host, site(replace(web, nics=(PUBLIC, replace(second, named=True)))))
    assert macs(host) == {PUBLIC.mac, second.mac}


def test_the_last_one_goes_and_a_new_one_comes_last_without_a_word() -> None:
    host, web = with_three()
    assert planned(host, replace(web, nics=(PUBLIC, INNER))).refusals == ()
    more = nic("web", 3, on="internal", gateway=None)
    assert planned(host, replace(web, nics=(*web.nics, more))).refusals == ()
    moved = replace(LAST, network=INNER.network)
    assert planned(host, replace(web, nics=(PUBLIC, INNER, moved))).refusals == ()


def test_one_put_into_the_middle_is_to_come_last() -> None:
    host, web = serving(nics=(PUBLIC, INNER))
    _, hint = told(host, web, PUBLIC, at(1, LAST), at(2, INNER))
    assert f"to keep {INNER.mac} there, put what is new at the end of the list" in hint


def test_two_that_change_places_are_both_told() -> None:
    host, web = serving(nics=(PUBLIC, INNER))
    swapped = replace(web, nics=(at(0, INNER), at(1, PUBLIC)))
    reasons = [one.reason for one in planned(host, swapped).refusals]
    assert [reason.partition(" has no")[0] for reason in reasons] == [
        "its NIC 1 on network internal", "its NIC 2 on network public",
    ]  # fmt: skip


def test_on_one_network_the_addresses_tell_which_one_goes() -> None:
    first, second = (
        nic("web", number, addresses=(ip_interface(f"10.223.0.{number}/24"),), gateway=None)
        for number in (1, 2)
    )
    host, web = serving(nics=(PUBLIC, first, second))
    reason, _ = told(host, web, PUBLIC, at(1, second))
    assert f"in place of {second.mac}" in reason
    other = at(1, second, addresses=(ip_interface("10.223.0.9/24"),))
    assert planned(host, replace(web, nics=(PUBLIC, other))).refusals == ()
    unknown = at(1, second, addresses=())
    assert planned(host, replace(web, nics=(PUBLIC, unknown))).refusals == ()


def test_one_whose_own_address_is_left_out_is_not_replaced_by_a_new_one() -> None:
    own = replace(INNER, mac=OTHER, named=True)
    host, web = serving(nics=(PUBLIC, own))
    reason, hint = told(host, web, PUBLIC, INNER)
    assert "which is new, in place of" in reason
    assert f"write `mac: {OTHER}` into it" in hint


def test_of_a_guest_that_is_off_the_definition_counts_and_before_its_first_boot_nothing() -> None:
    host, web = with_three()
    host.libvirt.domains["web"].end()
    told(host, web, PUBLIC, at(1, LAST))
    fresh = FakeHost()
    fresh.images, fresh.files = host.images, host.files
    refusals = planned(fresh, replace(web, nics=(PUBLIC, at(1, LAST)))).refusals
    assert not [one for one in refusals if "by its place" in one.reason]
