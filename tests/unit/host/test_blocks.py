from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from kvmkeep.cli.main import main
from kvmkeep.errors import StepFailed, Unready
from kvmkeep.host import blocks_receive, blocks_verify, engine_output
from kvmkeep.host.blocks_receive import Receiving, receive
from kvmkeep.host.blocks_verify import compare, read_list
from kvmkeep.model.blocks import BLOCK, ZERO, block_text, parse_blocks
from kvmkeep.model.units import Size

pytestmark = pytest.mark.machine

DATA = b"a" * BLOCK + bytes(BLOCK) + b"b" * BLOCK + b"end of the disk"


def text_of(data: bytes) -> str:
    parts = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    sums = [hashlib.sha256(one).hexdigest() if any(one) else ZERO for one in parts]
    return block_text(Size(len(data)), sums)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "root.raw"
    path.write_bytes(DATA)
    (tmp_path / "root.blocks").write_text(text_of(DATA))
    return path


def told() -> tuple[list[int], Callable[[int], None]]:
    found: list[int] = []
    return found, found.append


def verify(disk: Path, *more: str) -> int:
    return main(["blocks", "verify", str(disk), f"--blocks={disk.with_suffix('.blocks')}", *more])


def test_what_is_the_same_is_the_same(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(disk.with_suffix(".blocks").read_bytes()).hexdigest()
    assert verify(disk, f"--sum={digest}") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(DATA)} of {len(DATA)} bytes"
    with disk.open("ab") as file:  # an LV may be larger than the disk that was backed up
        file.write(b"x" * BLOCK)
    assert verify(disk) == 0


def test_a_list_of_a_shorter_disk_proves_nothing(
    disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(disk, f"--size={len(DATA)}") == 0
    more, target = f"--size={len(DATA) + BLOCK}", tmp_path / "back.raw"
    assert verify(disk, more) == 5
    blocks = f"--blocks={disk.with_suffix('.blocks')}"
    assert main(["blocks", "receive", str(target), blocks, more, "--", "cat", str(disk)]) == 5
    assert capsys.readouterr().err.count(f"{len(DATA)} bytes instead of {len(DATA) + BLOCK}") == 2
    assert not target.exists()


@pytest.mark.parametrize("at", [0, BLOCK, BLOCK + 77, 3 * BLOCK - 1, len(DATA) - 1])
def test_each_flipped_bit_is_found_and_its_block_named(
    at: int, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with disk.open("r+b") as file:
        file.seek(at)
        file.write(bytes([DATA[at] ^ 1]))
    assert verify(disk) == 9
    words = f"1 of 4 blocks are not as they were: block {at // BLOCK} (at {at // BLOCK * 4} MiB)"
    assert words in capsys.readouterr().err


def test_only_the_first_differences_are_named(
    disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk.write_bytes(b"c" * len(DATA))
    assert verify(disk) == 9
    said = capsys.readouterr().err
    assert "4 of 4 blocks" in said
    assert said.count("is another one") == 3
    assert "; ..." in said


def test_what_can_not_be_compared(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(disk, "--sum=00") == 5
    assert "not the block list that was written" in capsys.readouterr().err
    disk.write_bytes(DATA[:-1])
    assert verify(disk) == 5
    assert f"{len(DATA) - 1} bytes instead of {len(DATA)}" in capsys.readouterr().err
    disk.unlink()
    assert verify(disk) == 5
    blocks = disk.with_suffix(".blocks")
    blocks.write_text("nothing")
    with pytest.raises(Unready, match="not a block list"):
        read_list(str(blocks))
    blocks.unlink()
    with pytest.raises(Unready, match="there is no file"):
        read_list(str(blocks))
    blocks.symlink_to(blocks)
    with pytest.raises(Unready, match="can't be read"):
        read_list(str(blocks))


def test_a_block_that_can_not_be_read_is_another_one_and_the_last_that_is_tried(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.preadv

    def broken(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        assert offset <= 2 * BLOCK
        if offset == 2 * BLOCK:
            raise OSError(5, "Input/output error")
        return 0 if offset == BLOCK else really(descriptor, buffers, offset)

    monkeypatch.setattr(blocks_verify.os, "preadv", broken)
    found = compare(str(disk), parse_blocks(text_of(DATA)), lambda _: None)
    assert str(found) == (
        "2 of 4 blocks are not as they were: block 1 (at 4 MiB) ends too early; block 2 "
        "(at 8 MiB) can't be read: Input/output error (what lies behind it was not tried)"
    )


def wanted(target: Path, *engine: str, data: bytes = DATA) -> Receiving:
    return Receiving(target=str(target), blocks=parse_blocks(text_of(data)), engine=engine)


def test_a_disk_comes_out_as_it_was_and_zeros_take_no_room(disk: Path, tmp_path: Path) -> None:
    target = tmp_path / "back.raw"
    seen, tell = told()
    receive(wanted(target, "cat", str(disk)), tell)
    assert target.read_bytes() == DATA
    assert seen[-1] == len(DATA)
    assert target.stat().st_mode & 0o777 == 0o600
    zeros = tmp_path / "zeros"
    zeros.write_bytes(bytes(2 * BLOCK))
    receive(wanted(tmp_path / "z.raw", "cat", str(zeros), data=bytes(2 * BLOCK)), tell)
    assert (tmp_path / "z.raw").stat().st_size == 2 * BLOCK
    assert (tmp_path / "z.raw").stat().st_blocks == 0


def test_the_verb_receives_too(disk: Path, tmp_path: Path) -> None:
    blocks, target = disk.with_suffix(".blocks"), tmp_path / "back.raw"
    argv = ["blocks", "receive", str(target), f"--blocks={blocks}", "--", "cat", "--", str(disk)]
    assert main(argv) == 0
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("cat FILE; echo more", "gives more than the block list has"),
        ("head -c 5000000 FILE", "sh ended with 0: it gave nothing of block 1 (at 4 MiB)"),
        ("head -c 5000000 FILE; exit 3", "sh ended with 3: it gave nothing of block 1"),
        ("kill -9 $$", "was ended by signal 9: it gave nothing of block 0"),
        ("cat FILE; exit 1", "sh ended with 1: it had given all"),
        ("tr a x < FILE; sleep 60", "block 0 (at 0 MiB) is not what was read at the backup"),
    ],
)
def test_an_engine_that_gives_something_else_ends_it(
    script: str, says: str, disk: Path, tmp_path: Path
) -> None:
    line = script.replace("FILE", str(disk))
    with pytest.raises(StepFailed) as failed:
        receive(wanted(tmp_path / "back.raw", "sh", "-c", line), lambda _: None)
    assert says in failed.value.message


def test_nothing_that_is_there_is_written_over(disk: Path, tmp_path: Path) -> None:
    target = tmp_path / "back.raw"
    target.write_bytes(b"precious")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for one in (target, link, tmp_path):
        with pytest.raises(StepFailed, match="can't be opened"):
            receive(wanted(one, "cat", str(disk)), lambda _: None)
    assert target.read_bytes() == b"precious"
    with pytest.raises(StepFailed, match="can't be started"):
        receive(wanted(tmp_path / "new", "no-such-program"), lambda _: None)


def test_no_device_is_written_or_read_that_a_link_outside_of_dev_leads_to(
    disk: Path, tmp_path: Path
) -> None:
    device, link = tmp_path / "device", tmp_path / "link"
    os.mknod(device, 0o600 | stat.S_IFBLK, os.makedev(7, 77))
    link.symlink_to(device)
    for one in (device, link):
        with pytest.raises(StepFailed, match="can't be opened: File exists"):
            receive(wanted(one, "cat", str(disk)), lambda _: None)
    link.unlink()
    link.symlink_to(disk)
    with pytest.raises(Unready, match="can't be opened: Too many levels of symbolic links"):
        compare(str(link), parse_blocks(text_of(DATA)), lambda _: None)


@pytest.mark.parametrize("call", ["readv", "read"])
def test_what_can_not_be_read_is_not_told_as_what_can_not_be_written(
    call: str, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object) -> int:
        del given  # as a system call, which holds no buffer after it has failed
        raise OSError(5, "Input/output error")

    # Only here: Popen reads as well, how its child began.
    mine = SimpleNamespace(**{**vars(os), call: broken})
    monkeypatch.setattr(engine_output, "os", mine)
    with pytest.raises(StepFailed) as failed:
        receive(wanted(tmp_path / "back.raw", "cat", str(disk)), lambda _: None)
    assert failed.value.message == "what cat gives can't be read: Input/output error"


def test_a_disk_that_can_not_be_written_is_named(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> int:
        del given
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blocks_receive.os, "pwrite", full)
    target = tmp_path / "back.raw"
    with pytest.raises(StepFailed) as failed:
        receive(wanted(target, "cat", str(disk)), lambda _: None)
    assert failed.value.message == f"{target} can't be written: No space left on device"
