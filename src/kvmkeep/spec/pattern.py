"""What is wrong with an extended regular expression: grep(1) itself would tell only at boot."""

from __future__ import annotations

import re

_CLASSES = "alnum|alpha|blank|cntrl|digit|graph|lower|print|punct|space|upper|xdigit"
_CLASS = rf"\[:(?:{_CLASSES}):\]"
_TOKEN = re.compile(
    r"\\(?P<group>[1-9])|\\."
    rf"|\[\^?+(?P<set>\]?+(?:{_CLASS}|[^\]\[]|\[(?![:.=]))*)\]"
    r"|\{(?P<least>[0-9]*),?(?P<most>[0-9]*)\}"
    r"|(?P<flaw>\([*+?{]|[\[\\])|."
)
_FLAWS = {"[": "a [ is not closed", "\\": "nothing stands behind its last \\"}
_RANGE = re.compile(r"(.)-(.)(-.)?")
_MOST = 0x7FFF
"""RE_DUP_MAX in regex.h of glibc."""


def flaw(text: str) -> str:
    """Return what grep would not take in a line's regular expression, or nothing.

    Taken for a flaw as well are collating symbols (`[.x.]`, `[=x=]`), and what is a group of
    Perl's (`(?:a)`): grep looks for just that text.
    """
    begun = ended = 0
    for token in _TOKEN.finditer(text):
        if token["flaw"]:
            return _FLAWS.get(token[0], f"{token[0]} repeats nothing")
        if token["group"] and int(token["group"]) > ended:
            return f"{token[0]} stands for a group that is not there"
        if token["set"] and not _is_set(token["set"]):
            return f"{token[0]} is not a set of characters"
        if token["least"] is not None and not _is_count(token[0], token["least"], token["most"]):
            return f"{token[0]} is not a number of times"
        begun += token[0] == "("
        # One that closes nothing stands for itself.
        ended += token[0] == ")" and ended < begun
    return "a ( is not closed" if ended < begun else ""


def _is_set(inner: str) -> bool:
    """Whether the ranges go upwards; what orders other letters than those of ASCII is a locale."""
    ranges = _RANGE.finditer(re.sub(_CLASS, "\0", inner))
    ordered = all("\0" < one[1] <= one[2] <= "~" and not one[3] for one in ranges)
    return ordered and re.fullmatch(r":.*:", inner) is None


def _is_count(braces: str, least: str, most: str) -> bool:
    if not least and not most:
        return braces == "{,}"
    return int(least or 0) <= int(most or _MOST) <= _MOST
