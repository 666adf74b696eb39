from __future__ import annotations

import pytest

from kvmkeep.model.proof import (
    LATE,
    SCREEN_LIMIT,
    Ladder,
    Rung,
    filesystem_script,
    filesystems,
    last_screen,
    missing_mounts,
    parse_rung,
    wanted_mounts,
)

FSTAB = """\
@kvmkeep-fstab
# UUID=1 /comment ext4 defaults 0 0
LABEL=root / ext4 rw,noatime 0 1
UUID=2 /srv/ xfs defaults 0 2
/dev/mapper/vg-home /home xfs defaults 0 2
/dev/vdb none swap sw 0 0
tmpfs /tmp tmpfs defaults 0 0
UUID=3 /mnt/usb ext4 noauto 0 0
UUID=4 /mnt/old ext4 defaults,nofail 0 0
UUID=5 /iscsi ext4 _netdev 0 0
UUID=6 /auto ext4 defaults,x-systemd.automount 0 2
server:/export /nfs nfs defaults 0 0
/dev/vdc /glued 9p defaults 0 0
UUID=2 /srv xfs defaults 0 2
short line
"""


def test_what_an_fstab_wants_of_a_guest_on_its_own() -> None:
    assert wanted_mounts(FSTAB) == ("/", "/srv", "/home")
    assert wanted_mounts("") == ()


def test_a_blank_in_a_mount_point_is_a_blank() -> None:
    line = "LABEL=x /srv/my\\040f\\303\\274r\\134x ext4 defaults 0 2\n"
    assert wanted_mounts(line) == ("/srv/my f\u00fcr\\x",)


def test_a_second_system_in_it_wants_nothing_of_the_first() -> None:
    old = "@kvmkeep-fstab\nLABEL=old / ext4 rw 0 1\nLABEL=gone /data xfs rw 0 2\n"
    there = '{"return":[{"mountpoint":"/"},{"mountpoint":"/srv"},{"mountpoint":"/home"}]}'
    assert missing_mounts(old + FSTAB, there) == ""
    assert missing_mounts(FSTAB + old, there) == ""
    assert missing_mounts(old, there) == "not mounted: /data"
    assert missing_mounts("@kvmkeep-fstab\n@kvmkeep-fstab\n", there) == ""


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ('{"return":[{"mountpoint":"/"},{"mountpoint":"/srv"},{"mountpoint":"/home"}]}', ""),
        ('{"return":[{"mountpoint":"/","disk":[{"bus":1}]}]}', "not mounted: /srv, /home"),
        ('{"return":[]}', "nothing is mounted"),
        ('{"return":"all"}', "does not tell"),
        ('{"return":[{"mountpoint":7}]}', "does not tell"),
        ("", "does not tell"),
    ],
)
def test_what_is_missing_of_it(answer: str, says: str) -> None:
    found = missing_mounts(FSTAB, answer)
    assert says in found
    assert bool(found) is bool(says)


def test_filesystems_are_those_that_can_be_named() -> None:
    text = (
        "/dev/sda1: ext4\n/dev/vg/root: xfs\n/dev/sda2: swap\n/dev/a b: ext4\nx\n/dev/c; rm: ext4\n"
    )
    assert filesystems(text) == (
        ("/dev/sda1", "ext4"),
        ("/dev/vg/root", "xfs"),
        ("/dev/sda2", "swap"),
    )
    assert len(filesystems("/dev/sda: ext4\n" * 1000)) == 64


def test_each_filesystem_is_checked_or_mounted_and_swap_is_neither() -> None:
    script = filesystem_script(
        (
            ("/dev/sda1", "ext4"),
            ("/dev/sda2", "xfs"),
            ("/dev/sda3", "swap"),
            ("/dev/sda4", "unknown"),
        )
    ).decode()
    assert script.count("e2fsck") == 1
    assert "e2fsck /dev/sda1 correct:true\nmount /dev/sda1 /\n" in script
    assert "mount /dev/sda2 /" in script
    assert "sda3" not in script
    assert "sda4" not in script
    assert "ntfs" not in filesystem_script((("/dev/sda1", "ntfs"),)).decode()
    assert "sda1" not in filesystem_script((("/dev/sda1", "ntfs"),)).decode()
    assert script.startswith("run\n")
    assert script.endswith("ping-daemon\n")


def test_a_rung_that_is_not_whole_is_none() -> None:
    assert parse_rung(b'{"name":"a","held":true,"seconds":1.5}') == Rung(
        name="a", passed=True, seconds=1.5
    )
    for content in (b"", b"{", b'{"name":"a"}', b"[]"):
        assert parse_rung(content) is None
    ladder = Ladder(rungs=(Rung(name="a", passed=False, seconds=0.0),), said={})
    assert ladder.rung("b") is None
    assert not ladder.passed("a")
    assert not ladder.passed("b")


def test_the_last_screen_is_text_whatever_the_guest_wrote() -> None:
    log = (
        b"\x1b[2J\x1b[0;30;47mWelcome to GRUB!\r\n\r\n\x1b]0;title\x07[  1.0] up\xff\x00\n"
        b"web login: "
    )
    assert last_screen(log) == "Welcome to GRUB!\n[  1.0] up�\nweb login:\n"
    assert last_screen(b"\x1b]never ends") == ""
    many = b"".join(b"line %d\n" % number for number in range(100000))
    assert last_screen(many).splitlines()[-1] == "line 99999"
    assert len(last_screen(many).splitlines()) == 50
    assert len(last_screen(b"x" * 10**6)) == SCREEN_LIMIT + 1
    assert last_screen(b"") == ""


@pytest.mark.parametrize(
    ("name", "detail", "why"),
    [
        ("blocks-root", LATE, "at its time limit"),
        ("check", LATE, ""),
        ("blocks-root", "block 3 is another one", ""),
        ("filesystems", "e2fsck: /dev/sda1 has unsupported feature(s): FEATURE_C12", "too old"),
        ("filesystems", "still has errors", ""),
        ("check", "unsupported feature", ""),
        ("start", "not tried: overlay-root did not hold", "not tried"),
        ("start", "Could not open 'rl_build.root': Permission denied", "not let QEMU read"),
        ("check", "cat: /etc/shadow: Permission denied", ""),
    ],
)
def test_what_came_to_no_answer_is_not_what_is_bad(name: str, detail: str, why: str) -> None:
    rung = Rung(name=name, passed=False, seconds=1.0, detail=detail)
    assert why in rung.unanswered
    assert bool(rung.unanswered) is bool(why)
    assert Rung(name=name, passed=True, seconds=1.0, detail=detail).unanswered == ""
