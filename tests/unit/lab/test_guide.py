"""The guide to the lab: its commands parse, and nothing is left out."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from lab.cli import parser

TREE = Path(__file__).parents[3]
GUIDE = (TREE / "docs" / "how-to" / "lab.md").read_text()
LINES = sorted(set(re.findall(r"python3 -m lab ([a-z][^`)\n]*)", GUIDE)))


def verbs() -> set[str]:
    groups = [
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return {name for group in groups for name in group.choices}


def test_there_are_examples_of_each_command() -> None:
    assert {line.split()[0] for line in LINES} == verbs()


@pytest.mark.parametrize("line", LINES)
def test_an_example_is_understood(line: str) -> None:
    options = parser().parse_args(shlex.split(line.replace("COMMAND...", "true")))
    assert callable(options.function)


def test_each_variable_is_explained_and_each_explained_one_is_used() -> None:
    code = "".join(path.read_text() for path in (TREE / "lab").glob("*.py"))
    name = re.compile(r"KVMKEEP_LAB_[A-Z]+")
    assert set(name.findall(GUIDE)) == set(name.findall(code))


def test_the_files_named_in_the_guide_exist() -> None:
    for name in re.findall(r"`(lab/[a-z_./-]+)`", GUIDE):
        assert (TREE / name).exists(), name
