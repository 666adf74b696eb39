from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.model.names import (
    console_log,
    guest_mac,
    guest_uuid,
    lv_name,
    lv_path,
    lv_tags,
    profile_uuid,
    seed_path,
    stamped_time,
    utc_stamp,
)
from kvmkeep.model.units import GuestName, Label, check_lv_name, parse_mac

WEB = GuestName("web")
HOST = "host.example.org"


def test_a_guest_has_the_same_uuid_each_time_and_on_each_host_another() -> None:
    # These must never change: a guest with another UUID is another machine to cloud-init.
    assert guest_uuid(HOST, WEB) == guest_uuid(HOST, WEB)
    assert uuid.UUID(guest_uuid(HOST, WEB)).version == 5
    assert guest_uuid("other", WEB) != guest_uuid(HOST, WEB) != guest_uuid(HOST, GuestName("db"))


def test_profiles_have_uuids_of_their_own() -> None:
    assert uuid.UUID(profile_uuid(HOST, "web")).version == 5
    assert profile_uuid(HOST, "web") != guest_uuid(HOST, WEB)


@given(st.text(), st.from_regex(r"[a-z0-9]{1,63}", fullmatch=True), st.integers(0, 100))
def test_derived_macs_are_valid_and_in_the_range_of_qemu(
    host: str, guest: str, position: int
) -> None:
    mac = guest_mac(host, GuestName(guest), position)
    assert parse_mac(mac) == mac
    assert mac.startswith("52:54:00:")


def test_each_nic_has_a_mac_of_its_own() -> None:
    macs = {guest_mac(HOST, GuestName(guest), n) for guest in ("a", "b") for n in range(8)}
    assert len(macs) == 16


def test_volumes_are_named_after_guest_and_disk() -> None:
    assert lv_name("vm-", GuestName("influxdb"), Label("root")) == "vm-influxdb"
    assert lv_name("vm-", GuestName("influxdb"), Label("data")) == "vm-influxdb-data"
    assert check_lv_name(lv_name("", WEB, Label("data"))) == "web-data"
    assert lv_path("rl_build", "vm-web") == "/dev/rl_build/vm-web"


def test_tags_tell_whose_a_volume_is() -> None:
    assert lv_tags(WEB, Label("data")) == ("kvmkeep", "kvmkeep.guest=web", "kvmkeep.disk=data")


def test_files_of_a_guest() -> None:
    assert seed_path(WEB) == "/var/lib/kvmkeep/seed/web.iso"
    assert console_log("web") == "/var/log/libvirt/qemu/web-console.log"


def test_a_time_is_written_as_the_site_writes_it() -> None:
    assert utc_stamp("2026-11-23T07:10:59Z") == "20261123T0710Z"
    assert utc_stamp("2026-11-23T09:10:00+02:00") == "20261123T0710Z"


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("20261123T0710Z", "2026-11-23T07:10:00+00:00"),
        ("20261123T071034Z", "2026-11-23T07:10:34+00:00"),
        ("20261323T0710Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_stamp_is_read_as_it_was_written(stamp: str, time: str | None) -> None:
    found = stamped_time(stamp)
    assert (found.isoformat() if found is not None else None) == time
