"""Writes kvmkeep.1 from kvmkeep.1.md: headings, paragraphs, code, lists and one table.

python3 docs/man/render.py > docs/man/kvmkeep.1
"""  # noqa: INP001 - a program beside the text it renders

from __future__ import annotations

import re
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("kvmkeep.1.md")


def render(markdown: str) -> str:
    """Return the page in the language of man(7)."""
    lines = ['.TH KVMKEEP 1 "" kvmkeep "User Commands"']
    for block in re.split(r"\n{2,}", markdown.strip()):
        lines += _block(block)
    return "\n".join(lines) + "\n"


def _block(block: str) -> list[str]:
    if block.startswith("# "):
        return []
    if block.startswith("##"):
        sign, _, title = block.partition(" ")
        return [f'.{"SH" if sign == "##" else "SS"} "{_text(title)}"']
    if block.startswith("    "):
        return [".PP", ".nf", *(_literal(line[4:]) for line in block.split("\n")), ".fi"]
    if block.startswith("- "):
        return [line for item in block.split("\n") for line in _item(item[2:])]
    if block.startswith("| "):
        rows = [row.strip("| ").split(" | ") for row in block.split("\n")[2:]]
        return [line for code, text in rows for line in (".TP", f".B {code}", _text(text))]
    return [".PP", _text(block)]


def _item(item: str) -> list[str]:
    term, _, text = item.partition("`: ")
    return [".TP", _text(term + "`"), _text(text)]


def _text(text: str) -> str:
    """Return text with code in bold; a line must not begin as a request does."""
    parts = (
        f"\\fB{_literal(part)}\\fR" if odd else _literal(part)
        for odd, part in ((i % 2, part) for i, part in enumerate(text.split("`")))
        if part
    )
    return "".join(parts)


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.stdout.write(render(SOURCE.read_text("utf-8")))
