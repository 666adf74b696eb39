"""Output that no tool should give: a problem with a sentence each time, never a crash."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from adapters.replay import TOOLS, Replay, captured, ended, lab_host, problem
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kvmkeep.host import iproute, lvm, nmcli, space, upkeep
from kvmkeep.host.tools import Unanswered
from kvmkeep.model.facts import Problem

QUESTIONS: dict[str, Callable[[Replay], object]] = {
    "lvs": lvm.volumes,
    "vgs": lvm.groups,
    "ip-address": iproute.links,
    "ip-route": iproute.default_routes,
    "ip-route6": iproute.default_routes,
    "nmcli-profiles": nmcli.network_manager,
    "nmcli-settings": nmcli.network_manager,
    "nmcli-devices": nmcli.network_manager,
    "df": space.spaces,
    "timedatectl": upkeep.synchronized,
    "systemctl": upkeep.begun,
    "vgs-state": lvm.backups,
}
JSON = ("lvs", "vgs", "vgs-state", "ip-address", "ip-route", "ip-route6")
HUGE = "9" * 400


def host_with(name: str, told: object) -> Replay:
    """Return the lab's host where one tool answers something else."""
    host = lab_host(**({"ip_route": "[]"} if name == "ip-route6" else {}))
    host.answers |= Replay({name: told}).answers  # type: ignore[dict-item]
    return host


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize(
    "told",
    [
        "",
        "null",
        "5",
        '"text"',
        "<html>",
        '{"report": 5}',
        "[[]]",
        '[{"ifname": 5, "metric": "x"}]',
        b"\xff\xfe\x00",
        "[" * 5000,
        '[{"ifname": "a\x1b[2J"}]',
        "  Fehler: Zugriff verweigert\n",
    ],
)
def test_what_is_no_answer(name: str, told: str | bytes) -> None:
    if told == "" and name.startswith("ip-route"):
        return  # `ip` prints nothing at all where there are no routes
    found = problem(QUESTIONS[name], host_with(name, told))
    assert "something else than the JSON expected" in found.reason


@pytest.mark.parametrize("name", JSON)
def test_an_answer_that_is_cut_off_anywhere(name: str) -> None:
    told = captured(name).strip()
    if told == "[]":
        told = captured("ip-route").strip()
    for kept in range(1, len(told) - 1, max(1, len(told) // 100)):
        problem(QUESTIONS[name], host_with(name, told[:kept]))


@pytest.mark.parametrize("number", ["-1", HUGE, str(1 << 63), str(1 << 64), "", "4.00m"])
@pytest.mark.parametrize(
    ("name", "field"),
    [("lvs", "lv_size"), ("vgs", "vg_size"), ("vgs", "vg_free"), ("vgs", "vg_extent_size")],
)
def test_sizes_that_make_no_sense(name: str, field: str, number: str) -> None:
    before, _, after = captured(name).partition(f'"{field}":"')
    told = f'{before}"{field}":"{number}"{after.partition(chr(34))[2]}'
    problem(QUESTIONS[name], host_with(name, told))


@pytest.mark.parametrize(
    "data",
    ['{"id": "x"}', '{"id": 1e999}', f'{{"id": -{HUGE}}}', "5", "[]", '{"ageing_time": "\\u001b"}'],
)
@pytest.mark.parametrize("kind", ["vlan", "bridge"])
def test_details_of_an_interface_that_make_no_sense(kind: str, data: str) -> None:
    told = f'[{{"ifname":"a","linkinfo":{{"info_kind":"{kind}","info_data":{data}}}}}]'
    problem(iproute.links, host_with("ip-address", told))


def test_details_of_kinds_that_are_not_read_do_not_matter() -> None:
    told = '[{"ifname":"a","linkinfo":{"info_kind":"vxlan","info_data":{"id":"x"}}},{}]'
    (link,) = iproute.links(host_with("ip-address", told))
    assert (link.kind, link.vlan_id) == ("vxlan", -1)


def test_fields_and_kinds_of_newer_versions_are_passed_over() -> None:
    lvs = captured("lvs").replace('"lv_tags"', '"lv_new":{"a":[1]}, "lv_tags"')
    assert lvm.volumes(host_with("lvs", lvs)) == lvm.volumes(lab_host())
    told = captured("ip-address").replace('"ifname"', '"new":null,"ifname"')
    assert iproute.links(host_with("ip-address", told)) == iproute.links(lab_host())


def test_names_with_colons_breaks_and_control_characters() -> None:
    odd = "a\\:b\\\\ \u2028\x1b[31mc\x85d"
    uuid = "5f0c6f9e-7f0f-4e0e-8f0a-0a0b0c0d0e0f"
    profiles = f"{odd}:{uuid}:bridge:br0:/run/x\nnonsense\n:\n"
    settings = (
        f"connection.id:a\u2028b\nconnection.uuid:{uuid}\nconnection.interface-name:br0\nrest"
    )
    host = lab_host(nmcli_profiles=profiles, nmcli_settings=settings, nmcli_devices="x\n\n:\n")
    (profile,) = nmcli.network_manager(host).profiles
    assert profile.name == "a:b\\ \u2028\x1b[31mc\x85d"
    assert (profile.interface, profile.setting("connection.id")) == ("br0", "a\u2028b")


def test_profiles_that_vanish_while_they_are_asked_for() -> None:
    host = host_with("nmcli-settings", ended(10, stderr=b"Error: no such connection"))
    found = problem(nmcli.network_manager, host)
    assert "no such connection" in found.reason
    assert sum(argv[: len(nmcli.PROFILES)] == nmcli.PROFILES for argv in host.ran) == 3


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_that_fails_hangs_or_is_missing(name: str) -> None:
    program = TOOLS[name][0]
    said = b"\x1b[31mKein Speicher\x07\n" * 40
    found = problem(QUESTIONS[name], host_with(name, ended(3, stderr=said)))
    assert found.reason.startswith(f"{program} failed with exit code 3: ?[31mKein Speicher? / ")
    hung = replace(ended(-15), timed_out=True)
    assert "did not answer within" in problem(QUESTIONS[name], host_with(name, hung)).reason
    if name != "nmcli-profiles":
        missing = problem(QUESTIONS[name], host_with(name, ended(127)))
        assert missing.reason == f"{program} is not installed"


def test_every_question_has_a_time_limit_and_changes_nothing() -> None:
    host = lab_host()
    for ask in QUESTIONS.values():
        ask(host)
    assert max(host.timeouts) <= 30
    assert {argv[0] for argv in host.ran} == {
        "lvs", "vgs", "ip", "nmcli", "df", "timedatectl", "systemctl",
    }  # fmt: skip
    words = {word for argv in host.ran for word in argv}
    assert {argv[1] for argv in host.ran if argv[0] in {"systemctl", "timedatectl"}} == {"show"}
    assert not words & {"add", "delete", "set", "modify", "up", "down", "flush", "replace"}


def assert_printable(found: Problem) -> None:
    assert found.reason.isprintable()


ANYTHING = st.text(max_size=200) | st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["report", "lv", "vg", "pv", "ifname", "linkinfo", "info_data", "gateway"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
).map(repr).map(lambda text: text.replace("'", '"').replace("None", "null"))


@given(st.sampled_from(sorted(QUESTIONS)), ANYTHING)
def test_no_text_breaks_a_reader(name: str, told: str) -> None:
    try:
        QUESTIONS[name](host_with(name, told.encode("utf-8", "replace")))
    except Unanswered as error:
        assert_printable(error.problem)
