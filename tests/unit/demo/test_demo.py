"""The demo can be shown again in the lab that an earlier one left running."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from demo.__main__ import KEY, write_spec
from lab.machine import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.machine import Lab


class FakeLab:
    """A host that has files, and an ssh-keygen whose keys are told apart by their number."""

    def __init__(self) -> None:
        self.files = {"/srv/images/SHA256SUMS": "abc123  cloud.raw.zst\n"}
        self.keys = 0

    def run(self, argv: Sequence[str], *, input: str = "", check: bool = False) -> Result:  # noqa: A002  (the name that subprocess uses)
        code, out = 0, ""
        match list(argv):
            case ["test", "-s", path]:
                code = 0 if self.files.get(path) else 1
            case ["rm", "-f", path]:
                self.files.pop(path, None)
            case ["ssh-keygen", *_, path]:
                assert path not in self.files, "ssh-keygen asks before it overwrites"
                self.keys += 1
                self.files[path] = "private"
                self.files[path + ".pub"] = f"ssh-ed25519 key-{self.keys} admin@demo\n"
            case ["cat", path]:
                out = self.files[path]
            case ["tee", path]:
                self.files[path] = input
            case ["mkdir", "-p", _]:
                pass
            case other:
                raise AssertionError(other)
        done = Result(tuple(argv), code, out, "")
        return done.check() if check else done


def spec_of(lab: FakeLab) -> dict[str, str]:
    write_spec(cast("Lab", lab))
    return {path: text for path, text in lab.files.items() if path.startswith("/etc/kvmkeep/")}


def test_the_spec_has_the_key_and_the_published_checksum() -> None:
    told = "".join(spec_of(FakeLab()).values())
    assert "ssh-ed25519 key-1 admin@demo" in told
    assert "abc123" in told
    assert "@SSH_KEY@" not in told


def test_the_guest_of_an_earlier_demo_still_lets_its_administrator_in() -> None:
    lab = FakeLab()
    assert spec_of(lab) == spec_of(lab)


def test_half_a_key_of_a_demo_that_was_killed_is_made_anew() -> None:
    lab = FakeLab()
    lab.files[KEY] = "private"
    assert "key-1" in "".join(spec_of(lab).values())
