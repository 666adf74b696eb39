"""Debian packages that the lab's host lacks, for what few need: fetched once, and kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cache
from lab.booted import booted_host
from lab.errors import LabError
from lab.tools import run_tool

if TYPE_CHECKING:
    from lab.machine import Lab

SPACE = 1 << 29


def debs(lab: Lab, *names: str) -> Path:
    """Return a directory with these packages and what they need beyond the host's own.

    A name may have a suite, `borgbackup/bookworm-backports`. What it needs comes from the host's
    own suite if that has it (apt_preferences(5): below 100, and above 0).
    """
    mirror = os.environ.get("KVMKEEP_LAB_MIRROR", "") or "http://deb.debian.org/debian"
    key = cache.key_of(
        {
            "how": Path(__file__).read_bytes(),
            "names": " ".join(names).encode(),
            "below": booted_host().name.encode(),
            "mirror": mirror.encode(),
        }
    )

    def build(place: Path) -> None:
        _fetch(lab, names, mirror, place)

    first = names[0].partition("/")[0]
    return cache.entry(f"debs-{first}", key, build, needs=SPACE)


def install_debs(lab: Lab, *names: str) -> None:
    """Install these packages on the lab's host."""
    fetched = debs(lab, *names)
    place = f"/root/{fetched.name}"
    lab.run(["mkdir", "-p", place], check=True)
    lab.copy_in(sorted(fetched.glob("*.deb")), place)
    lab.run(["bash", "-c", f"dpkg --install {place}/*.deb"], check=True, timeout=900)


def _fetch(lab: Lab, names: tuple[str, ...], mirror: str, place: Path) -> None:
    log = cache.log_path("debs")
    apt = place / "apt"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    # The host's own sources: it has newer packages than the release, of which others want the same.
    lab.copy_out(["/var/lib/dpkg/status", "/etc/apt/sources.list"], apt)
    suites = sorted({suite for name in names if (suite := name.partition("/")[2])})
    with (apt / "sources.list").open("a") as sources:
        sources.writelines(f"deb {mirror} {suite} main\n" for suite in suites)
    pins = (f"Package: *\nPin: release n={suite}\nPin-Priority: 50\n\n" for suite in suites)
    (apt / "preferences").write_text("".join(pins))
    places = {
        "Dir::Etc::sourcelist": apt / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": apt / "preferences", "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": apt / "state", "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache", "APT::Sandbox::User": "root",
    }  # fmt: skip
    argv = ["apt-get", *(word for one in places.items() for word in ("-o", "{}={}".format(*one)))]
    run_tool([*argv, "update"], log, limit=300)
    without = ["--no-install-recommends", "--download-only", "--assume-yes"]
    run_tool([*argv, *without, "install", *names], log, limit=600)
    found = [*(apt / "cache/archives").glob("*.deb")]
    if not found:
        raise LabError(f"lab {lab.name} has {', '.join(names)} already: fetch from a new one")
    for file in found:
        file.rename(place / file.name)
    run_tool(["rm", "-r", str(apt)], log, limit=60)
