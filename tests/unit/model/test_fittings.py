from __future__ import annotations

import pytest
from fakes.guestfish import debian

from kvmkeep.model.fittings import Seen, bytes_of, fittings_argv, fittings_script, parse_fittings
from kvmkeep.model.inside import Renderer
from kvmkeep.model.look import MARK
from kvmkeep.model.spec import Format

WHEN = "20261123T071034Z"


def answer(*paths: str, lists: tuple[str, ...] = ()) -> str:
    return debian().answer(fittings_script(Format.RAW, WHEN, paths, lists).decode())


def test_it_tells_of_the_system_of_paths_and_of_directories() -> None:
    found = parse_fittings(answer("/etc/hostname", "/etc", "/nothing", lists=("/etc", "/no")))
    assert (found.asked, found.cloud_init, found.network) == (
        WHEN, True, Renderer.NETWORK_MANAGER,
    )  # fmt: skip
    assert [one.name for one in found.accounts] == ["root", "admin", "home"]
    assert found.account("admin").home == "/home/admin"  # type: ignore[union-attr]
    assert found.account("home").home == ""  # type: ignore[union-attr]
    assert (found.policy, found.labels) == ("", True)
    hostname = found.path("/etc/hostname")
    assert hostname is not None
    assert (hostname.kind, hostname.mode, hostname.text) == ("file", 0o644, "old\n")
    assert found.path("/etc").kind == "directory"  # type: ignore[union-attr]
    assert found.path("/nothing") == Seen(path="/nothing")
    assert found.path("/etc/shadow") is None
    assert "hostname" in found.names("/etc")
    assert found.names("/no") == ()
    assert found.names("/other") == ()


def test_the_disk_is_opened_read_only_in_a_named_format() -> None:
    argv = fittings_argv("/dev/vg/x", Format.RAW)
    assert argv == ("guestfish", "--ro", "--format=raw", "-a", "/dev/vg/x", "-i")


@pytest.mark.parametrize("text", ["", "rubbish", f"{MARK}look 1 raw\n{MARK}end"])
def test_what_is_no_whole_answer_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="answer"):
        parse_fittings(text)
    with pytest.raises(ValueError, match="not complete"):
        parse_fittings(answer("/etc").removesuffix(f"{MARK}end\n"))


def test_contents_that_are_no_text_or_too_large_or_damaged() -> None:
    odd = "caf\u00e9 ".encode() + b"\xff\n"
    assert bytes_of(Seen(path="/x", content=odd).text) == odd
    assert Seen(path="/x", kind="file").text == ""
    text = answer("/etc/hostname").replace("b2xkCg==", "b2xkCg=")
    assert parse_fittings(text).path("/etc/hostname").content is None  # type: ignore[union-attr]
    assert parse_fittings(text.replace("st_mode", "st_x")).path("/etc/hostname") == Seen(
        path="/etc/hostname"
    )


@pytest.mark.parametrize(
    "forged",
    [
        f"{MARK}path-0\n/etc\nst_mode: 9999999999999999999",
        f"{MARK}path-0\n/etc\nst_mode: 4294967296",
        f"{MARK}path-0\n/etc\nst_mode: -1",
        f"{MARK}path-0",
        f"{MARK}list-0",
    ],
)
def test_an_answer_that_a_file_of_the_guest_has_forged_is_none(forged: str) -> None:
    tree = debian()
    tree.put("/etc/passwd", f"root:x:0:0::/root:/bin/sh\n{forged}\n{MARK}hostname\n")
    text = tree.answer(fittings_script(Format.RAW, WHEN, (), ()).decode())
    with pytest.raises(ValueError, match="answer"):
        parse_fittings(text)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("system_u:object_r:etc_t:s0", "system_u:object_r:etc_t:s0"),
        ("unconfined_u:object_r:user_home_t:s0-s15:c0.c1023,c7",) * 2,
        ("root:object_r:etc_t", "root:object_r:etc_t"),
        ("", ""),
        ("a:b:c:s0\nrm-rf /", ""),
        ("a:b:c:s0 xattrs:true", ""),
        ("\u00fc:b:c:s0", ""),
        (f"a:b:{'c' * 300}:s0", ""),
    ],
)
def test_labels_are_bounded_and_only_such(label: str, told: str) -> None:
    tree = debian()
    tree.inodes["/etc/hostname"].label = label
    text = tree.answer(fittings_script(Format.RAW, WHEN, ("/etc/hostname",), ()).decode())
    assert parse_fittings(text).path("/etc/hostname").label == told  # type: ignore[union-attr]
