"""The page of all findings, against the findings that the program makes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from kvmkeep.model.health import Severity

ROOT = Path(__file__).parents[3]
Kinds = dict[str, set[str]]


def made() -> Kinds:
    """Return the names of all findings, with their severities."""
    kinds: Kinds = {}
    texts = (file.read_text("utf-8") for file in (ROOT / "src/kvmkeep").rglob("*.py"))
    for tree in (ast.parse(text) for text in texts if "Finding(" in text):
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
                    for name, severity in _kinds(function, node):
                        kinds.setdefault(name, set()).add(severity)
    return kinds


def _kinds(function: ast.FunctionDef, call: ast.Call) -> Iterator[tuple[str, str]]:
    given = {word.arg: word.value for word in call.keywords}
    names = [ast.literal_eval(one) for one in _branches(function, given["name"])]
    severities = [
        Severity[ast.unparse(one).removeprefix("Severity.")].value
        for one in _branches(function, given["severity"])
    ]
    # Two names: the same question decides how bad it is.
    both = zip(names, severities, strict=True) if len(names) > 1 else product(names, severities)
    yield from both


def _branches(function: ast.FunctionDef, value: ast.expr) -> list[ast.expr]:
    """Return what an expression may be, be it a variable of its function."""
    if isinstance(value, ast.IfExp):
        return [*_branches(function, value.body), *_branches(function, value.orelse)]
    if isinstance(value, ast.Name):
        return [
            branch
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == value.id
            for branch in _branches(function, node.value)
        ]
    return [value]


def test_each_finding_is_told_and_no_other() -> None:
    page = (ROOT / "docs/reference-findings.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \|", page, re.MULTILINE)
    assert len(dict(rows)) == len(rows)
    told = {name: set(severities.split(", ")) for name, severities in rows}
    assert len(told) > 80
    assert told == made()
