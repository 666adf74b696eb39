from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.model.units import (
    Size,
    check_lv_name,
    parse_guest_name,
    parse_interface,
    parse_label,
    parse_mac,
    parse_size,
)

BINARY = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
DECIMAL = {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("20GiB", 21474836480),
        ("1.5 TiB", 1649267441664),
        ("512MB", 512000000),
        (" 64MiB ", 67108864),
        ("0.5KiB", 512),
        ("1B", 1),
        ("007GiB", 7516192768),
        ("1048576TiB", 1 << 60),
    ],
)
def test_a_size_is_a_number_and_a_unit(text: str, amount: int) -> None:
    assert parse_size(text) == Size(amount)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("16", "is not a size"),
        ("GiB", "is not a size"),
        ("-5GiB", "is not a size"),
        ("+5GiB", "is not a size"),
        ("1e3G", "is not a size"),
        ("1,5GiB", "is not a size"),
        (".5GiB", "is not a size"),
        ("", "is not a size"),
        ("٣GiB", "is not a size"),
        ("9" * 5000 + "GiB", "is not a size"),
        ("10G", "no known unit"),
        ("10gib", "no known unit"),
        ("10PiB", "no known unit"),
        ("0GiB", "zero"),
        ("0.00MiB", "zero"),
        ("0.3B", "whole number of bytes"),
        ("1048577TiB", "too large"),
    ],
)
def test_what_is_no_size_is_refused(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part) as caught:
        parse_size(text)
    assert len(str(caught.value)) < 200


@given(st.integers(1, 10**5), st.sampled_from(sorted(BINARY | DECIMAL)))
def test_a_written_size_is_that_many_units(number: int, unit: str) -> None:
    assert parse_size(f"{number}{unit}").bytes == number * (BINARY | DECIMAL)[unit]


@given(st.integers(1, 1023), st.sampled_from(sorted(BINARY)))
def test_a_whole_size_reads_as_it_was_written(number: int, unit: str) -> None:
    assert str(parse_size(f"{number}{unit}")) == f"{number} {unit}"
    assert parse_size(str(parse_size(f"{number}{unit}"))) == Size(number * BINARY[unit])


@given(st.text())
def test_no_text_crashes_the_parsers(text: str) -> None:
    for parser in (
        parse_size, parse_guest_name, parse_label, parse_mac, parse_interface, check_lv_name,
    ):  # fmt: skip
        try:
            parser(text)
        except ValueError as error:
            assert str(error).isprintable()  # noqa: PT017 - most texts are refused, some are not


def test_sizes_are_shown_in_the_largest_fitting_unit() -> None:
    assert str(Size(0)) == "0 B"
    assert str(Size(1023)) == "1023 B"
    assert str(Size(1536)) == "1.5 KiB"
    assert str(Size(10 * 1000**3)) == "9.3 GiB"
    assert str(Size(3 << 40)) == "3 TiB"


def test_sizes_can_be_counted_with() -> None:
    mib = Size(1 << 20)
    assert mib + mib == Size(2 << 20)
    assert mib.minus(Size(1)) == Size((1 << 20) - 1)
    assert mib.minus(mib + mib) == Size(0)
    assert Size(1).rounded_up(mib) == mib
    assert mib.rounded_up(mib) == mib
    assert Size(0).rounded_up(mib) == Size(0)
    assert Size(1025).kib == 2
    assert Size(1) < mib


@pytest.mark.parametrize("amount", [-1, (1 << 60) + 1])
def test_a_size_out_of_reason_can_not_be_made(amount: int) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        Size(amount)


@pytest.mark.parametrize("name", ["a", "web", "web-1", "1web", "a" * 63, "a--b"])
def test_guest_names(name: str) -> None:
    assert parse_guest_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-rf", "..", ".", "Web", "a" * 64, "a" * 300, "web-", "we_b", "a/b", "a b", "a\nb",
     "web\n", "\x1b[31m", "ä", "a.b", "snapshot1", "pvmove0",
     "kvmkeep-proof-web"],
)  # fmt: skip
def test_names_that_no_guest_can_have(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|LVM") as caught:
        parse_guest_name(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", ["a", "data", "a.b_c-d", "9", "a" * 32])
def test_labels(name: str) -> None:
    assert parse_label(name) == name


@pytest.mark.parametrize("name", ["", "..", "a..b", ".a", "a-", "A", "a" * 33, "a/b", "a\n"])
def test_names_that_no_label_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="can't be a name here"):
        parse_label(name)


def test_a_mac_address_is_kept_in_lower_case() -> None:
    assert parse_mac("52:54:00:AB:cd:0F") == "52:54:00:ab:cd:0f"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("52:54:00:12:34", "is not a MAC"),
        ("52-54-00-12-34-56", "is not a MAC"),
        ("52:54:00:12:34:5g", "is not a MAC"),
        ("190249000", "is not a MAC"),
        ("53:54:00:12:34:56", "multicast"),
        ("ff:ff:ff:ff:ff:ff", "multicast"),
        ("00:00:00:00:00:00", "all zeros"),
    ],
)
def test_what_is_no_mac_address_is_refused(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parse_mac(text)


@pytest.mark.parametrize("name", ["ens802f1", "virbr1.2368", "a" * 15])
def test_interface_names(name: str) -> None:
    assert parse_interface(name) == name


@pytest.mark.parametrize("name", ["", "a" * 16, "-x", ".", "a/b", "a b", "a:b", "ü", "a\n"])
def test_names_that_no_interface_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="can't be an interface's name"):
        parse_interface(name)


@pytest.mark.parametrize("name", ["vm-web", "_x", "+x", "a" * 127])
def test_lv_names(name: str) -> None:
    assert check_lv_name(name) == name


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("a" * 128, "128 characters"),
        ("-a", "can't be an LV's name"),
        ("", "can't be an LV's name"),
        (".", "can't be an LV's name"),
        ("..", "can't be an LV's name"),
        ("a b", "can't be an LV's name"),
        ("snapshot1", "begins with a word"),
        ("pvmove0", "begins with a word"),
        ("vm-a_tdata", "holds a word"),
        ("vm-a_mimage_0", "holds a word"),
    ],
)
def test_names_that_lvm_refuses(name: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        check_lv_name(name)
