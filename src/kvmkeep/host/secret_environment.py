"""Variables that a program needs and nobody else may see: read from a file, never from a command.

Of a process, root alone and its own user can read the environment (proc(5), /proc/pid/environ).
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import quote

from kvmkeep.errors import Unready
from kvmkeep.host.files import read_file

_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,99})=(.*)")
_LIMIT = 64 << 10
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def become(path: str, argv: tuple[str, ...], rest: str = "") -> NoReturn:
    """Replace this process by a program, with the variables of a file; raises Unready.

    `rest` is the URL of restic's REST server, if the program is to have one in its environment.
    """
    variables = read_variables(path)
    if rest:
        variables["RESTIC_REPOSITORY"] = rest_place(rest, variables)
    try:
        os.execvpe(argv[0], argv, {**os.environ, **variables})  # noqa: S606 - what it is for
    except OSError as error:
        raise Unready(f"{argv[0]} can't be started: {error.strerror}") from error


def rest_place(url: str, variables: Mapping[str, str]) -> str:
    """Return the URL of a REST server, with the name and the password of the variables in it.

    They are called as restic calls them since 0.16.1; before, it knows them from the URL alone.
    """
    scheme, slashes, rest = url.partition("//")
    password = variables.get("RESTIC_REST_PASSWORD", "")
    if not slashes or not password:
        return url
    authority, slash, path = rest.partition("/")
    named, _, host = authority.rpartition("@")
    user = _quoted(variables.get("RESTIC_REST_USERNAME", "")) or named
    return f"{scheme}//{user}:{_quoted(password)}@{host}{slash}{path}"


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="")


def read_variables(path: str) -> dict[str, str]:
    """Return what a file of lines `NAME=VALUE` holds; raises Unready.

    Values are taken as they are: without quotes, without anything that a shell would do. Empty
    lines and those that begin with `#` are left out. No message repeats a line.
    """
    try:
        if os.stat(path).st_mode & _OTHERS:
            raise Unready(
                f"{path} holds secrets, but is not for its owner alone",
                hint=f"chmod 600 {shlex.quote(path)}",
            )
        content = read_file(path, _LIMIT + 1)
    except OSError as error:
        raise Unready(f"{path} can't be read: {error.strerror}") from error
    if content is None or len(content) > _LIMIT:
        raise Unready(f"{path} is no file, or larger than {_LIMIT} bytes")
    variables: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or "\0" in line:
            raise Unready(f"{path}: line {number} is not NAME=VALUE")
        variables[match[1]] = match[2]
    return variables
