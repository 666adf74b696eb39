"""Puts kvmkeep into a lab: its source, and the Python packages it depends on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cache
from lab.errors import LabError
from lab.tools import run_tool, say, step

if TYPE_CHECKING:
    from lab.machine import Lab

TREE = Path(__file__).parent.parent
SPACE = 200 * 2**20
LAB_PYTHON = (3, 11)
FROM_DEBIAN = "libvirt-python"
THERE = "/opt/kvmkeep"
WITHOUT = shutil.ignore_patterns("__pycache__")
WRAPPER = """#!/bin/sh
PYTHONPATH=/opt/kvmkeep/src:/opt/kvmkeep/lib exec /usr/bin/python3 -m kvmkeep "$@"
"""


def dependencies() -> list[str]:
    """Return what pyproject.toml asks for, without what Debian brings."""
    try:
        project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        message = f"can't read the dependencies from {TREE / 'pyproject.toml'}: {error}"
        raise LabError(message) from error
    names = [str(text) for text in project.get("dependencies", [])]
    return sorted(
        text for text in names if re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] != FROM_DEBIAN
    )


def build_packages(place: Path) -> None:
    """Fetch the Python packages for the lab's Python."""
    wanted = dependencies()
    log = cache.log_path("python")
    ways = [os.environ.get("KVMKEEP_LAB_PIP", ""), "pip", f"{sys.executable} -m pip"]
    found = next((text for text in ways if text and runs_pip(text)), None)
    if found is None:
        message = "pip is missing; it fetches the Python packages that kvmkeep needs in the lab"
        raise LabError(message, "apt-get install python3-pip, or set KVMKEEP_LAB_PIP to a pip")
    argv = shlex.split(found)
    version = ".".join(map(str, LAB_PYTHON))
    options = [
        "install",
        "--quiet",
        "--no-compile",
        "--only-binary=:all:",
        f"--python-version={version}",
    ]
    with step(f"fetching {len(wanted)} Python packages"):
        run_tool([*argv, *options, "--target", str(place / "lib"), *wanted], log, limit=600)
        if sys.version_info[:2] == LAB_PYTHON:
            compile_all(place / "lib", THERE, log)


def compile_all(tree: Path, there: str, log: Path) -> None:
    """Make byte code for what will lie in `there`; it takes a tenth of the lab's time.

    It serves one version of Python only.
    """
    argv = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    run_tool([*argv, "-s", str(tree.parent), "-p", there, str(tree)], log, limit=300)


def runs_pip(text: str) -> bool:
    """Say whether this way of calling pip works here."""
    try:
        run_tool([*shlex.split(text), "--version"], cache.log_path("pip"), limit=60)
    except LabError:
        return False
    return True


def python_packages() -> Path:
    """Return the directory with the Python packages."""
    key = cache.key_of(
        {"wanted": "\n".join(dependencies()).encode(), "how": Path(__file__).read_bytes()}
    )
    return cache.entry("python", key, build_packages, needs=SPACE) / "lib"


def install(lab: Lab) -> None:
    """Copy kvmkeep into the lab; the packages only when they differ from what is there."""
    packages = python_packages()
    mark = packages.parent.name
    source = TREE / "src" / "kvmkeep"
    if not source.is_dir():
        message = f"{source} does not exist"
        raise LabError(message)
    here = sys.version_info[:2] == LAB_PYTHON
    with step("copying kvmkeep into the lab"):
        check = f"mkdir -p /opt/kvmkeep/src && rm -rf /opt/kvmkeep/src/kvmkeep && [ -e /opt/kvmkeep/lib/.{mark} ]"
        if lab.run(["sh", "-c", check]).returncode:
            lab.run(["rm", "-rf", "/opt/kvmkeep/lib"], check=True)
            lab.copy_in([packages], "/opt/kvmkeep/")
            lab.run(["touch", f"/opt/kvmkeep/lib/.{mark}"], check=True)
        with tempfile.TemporaryDirectory(prefix="kvmkeep-install-") as place:
            tree = Path(shutil.copytree(source, Path(place, source.name), ignore=WITHOUT))
            if here:
                compile_all(tree, f"{THERE}/src", cache.log_path("install"))
            lab.copy_in([tree], "/opt/kvmkeep/src/")
        if not here:
            lab.run(["python3", "-m", "compileall", "-q", "/opt/kvmkeep"], timeout=300)
        script = "cat > /usr/local/bin/kvmkeep && chmod 755 /usr/local/bin/kvmkeep"
        lab.run(["sh", "-c", script], input=WRAPPER, check=True)
    say("installed: kvmkeep")
