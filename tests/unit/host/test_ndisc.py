"""Asking for an IPv6 address from nobody's own: the frames as the RFCs have them."""

from __future__ import annotations

import threading
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.host.ndisc import PacketWire, advertises, neighbour_answers, solicitation

MAC = bytes.fromhex("020000000001")
TARGET, OTHER = IPv6Address("fd00:5:68::1"), IPv6Address("fd00:5:68::2")

# Its sum is made by hand from RFC 1071: all words of the pseudo-header and of the question.
ASKED = bytes.fromhex(
    "3333ff00000102000000000186dd"
    "6000000000183aff00000000000000000000000000000000"
    "ff0200000000000000000001ff000001"
    "87007d3800000000fd000005006800000000000000000001"
)  # fmt: skip


def advertisement(target: IPv6Address = TARGET, **changes: int) -> bytes:
    """Return the frame in which a gateway objects: made of the question, summed up anew."""
    source, nodes = target.packed, IPv6Address("ff02::1").packed
    body = bytes([changes.get("kind", 136), 0, 0, 0, 0x20, 0, 0, 0]) + target.packed
    body += bytes.fromhex("0201020000000009")
    whole = source + nodes + len(body).to_bytes(4) + (58).to_bytes(4) + body
    total = sum(int.from_bytes(whole[at : at + 2]) for at in range(0, len(whole), 2))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    summed = (~total & 0xFFFF) ^ changes.get("wrong", 0)
    body = body[:2] + summed.to_bytes(2) + body[4:]
    header = b"\x60\0\0\0" + len(body).to_bytes(2) + bytes([58, changes.get("hops", 255)])
    return bytes.fromhex("33330000000102000000000986dd") + header + source + nodes + body


def test_the_question_is_that_of_one_who_looks_for_a_free_address() -> None:
    assert solicitation(MAC, TARGET) == ASKED


def test_who_has_the_address_is_heard_and_nobody_else() -> None:
    assert advertises(advertisement(), TARGET)
    assert not advertises(advertisement(OTHER), TARGET)
    assert not advertises(advertisement(hops=64), TARGET), "from behind a router"
    assert not advertises(advertisement(kind=135), TARGET)
    assert not advertises(advertisement(wrong=1), TARGET)
    for length in range(len(advertisement())):
        assert not advertises(advertisement()[:length], TARGET)


@given(st.binary(max_size=200))
def test_whatever_comes_is_taken(frame: bytes) -> None:
    assert not advertises(frame, TARGET)
    assert not advertises(advertisement()[:30] + frame, TARGET)


class FakeWire:
    """A wire on which frames wait; each that is sent is kept."""

    mac = MAC

    def __init__(self, *frames: bytes) -> None:
        self.frames, self.sent = list(frames), list[bytes]()

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def receive(self, seconds: float) -> bytes | None:
        assert seconds <= 1
        if not self.frames:
            threading.Event().wait(seconds)
            return None
        return self.frames.pop(0)


def test_others_words_are_passed_over_until_the_right_one_comes() -> None:
    wire = FakeWire(b"", advertisement(OTHER), ASKED, advertisement())
    assert neighbour_answers(wire, TARGET, 5)
    assert wire.sent == [ASKED]
    silent = FakeWire()
    assert not neighbour_answers(silent, TARGET, 0.9)
    assert silent.sent == [ASKED, ASKED]


@pytest.mark.machine
def test_on_a_real_interface() -> None:
    here, there = PacketWire("lo"), PacketWire("lo")
    try:
        there.send(advertisement())
        assert neighbour_answers(here, TARGET, 2)
        assert not neighbour_answers(here, OTHER, 0.3)
    finally:
        here.close()
        there.close()
