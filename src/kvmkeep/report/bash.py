"""Commands and files as lines of bash."""

from __future__ import annotations

import base64
import posixpath

from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.store import part_path
from kvmkeep.model.text import one_line
from kvmkeep.report.shell_words import shell_line, shell_word


def say(text: str) -> str:
    """Return a line that tells something on stderr."""
    return f"printf '%s\\n' {shell_word(one_line(text))} >&2"


def indented(lines: list[str]) -> list[str]:
    """Return the lines of a function's body, unless they hold a here-document."""
    if any("<<" in line for line in lines):
        return lines
    return ["  " + line for line in lines]


def captured(command: Command) -> str:
    """Return the command as a substitution."""
    return f"$({shell_line(command.argv)})"


def command_lines(command: Command) -> list[str]:
    """Return a command that ends the script when it does not end as expected."""
    lines = [] if not command.stdout_to else _begin_output(command.stdout_to)
    if command.ok == (0,) and not command.expect:
        lines += _call(command)
    else:
        what = f"it did not end as expected: {command.why}"
        lines += ["kvmkeep_run() {", *indented(condition_lines(command)), "}"]
        lines.append(f"kvmkeep_run || kvmkeep_stop {shell_word(one_line(what))}")
    return lines if not command.stdout_to else [*lines, *_end_output(command.stdout_to)]


def condition_lines(command: Command, prefix: str = "") -> list[str]:
    """Return a function's body that succeeds when the command ends as expected."""
    if command.ok == (0,) and not command.expect:
        return _call(command, prefix)
    call = _call(command, prefix)
    if command.expect:
        lines = ["local code=0 answer=''", *_wrapped("answer=$(", call, ") || code=$?")]
    else:
        lines = ["local code=0", *_wrapped("{ ", call, "; } || code=$?")]
    codes = "|".join(str(code) for code in command.ok)
    lines.append(f"case $code in {codes}) ;; *) return 1 ;; esac")
    if command.expect:
        lines.append(f'[ "$(kvmkeep_trim "$answer")" = {shell_word(command.expect)} ]')
    return lines


def _wrapped(before: str, call: list[str], after: str) -> list[str]:
    if len(call) == 1:
        return [before + call[0] + after]
    return [before.rstrip(), *call, after.removeprefix("; ")]


def _call(command: Command, prefix: str = "") -> list[str]:
    """Return the command itself, with its stdin and its output file."""
    line = prefix + shell_line(command.argv)
    if command.stdout_to:
        line += f" > {shell_word(part_path(command.stdout_to))}"
    return with_input(line, command.stdin) if command.stdin else [line]


def with_input(line: str, content: bytes) -> list[str]:
    """Return a command line with its stdin as a here-document; base64 where text would not do."""
    text = _plain(content)
    if text is not None:
        word = _delimiter(text)
        return [f"{line} <<'{word}'", *text.removesuffix("\n").split("\n"), word]
    encoded = base64.encodebytes(content).decode().removesuffix("\n").split("\n")
    return [f"{line} < <(base64 -d <<'END'", *encoded, "END", ")"]


def _plain(content: bytes) -> str | None:
    """Return what a here-document can hold: harmless text that ends with a line feed."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    harmless = all(one_line(line) == line for line in text.replace("\t", "").split("\n"))
    return text if harmless and text.endswith("\n") else None


def _delimiter(text: str) -> str:
    lines = set(text.split("\n"))
    word = "END"
    while word in lines:
        word += "_"
    return word


def file_lines(file: WriteFile) -> list[str]:
    """Return the writing of a file: beside its place, synced, then renamed over it."""
    part = shell_word(part_path(file.path))
    return [
        *_directory(file.path, file.dir_mode),
        f"rm -f {part}",
        *with_input(f"cat > {part}", file.content),
        f"chmod {file.mode:04o} {part}",
        *_end_output(file.path),
    ]


def _begin_output(path: str) -> list[str]:
    return [*_directory(path, 0o700), f"rm -f {shell_word(part_path(path))}"]


def _end_output(path: str) -> list[str]:
    part = shell_word(part_path(path))
    return [f"sync {part}", f"mv -T {part} {shell_word(path)}"]


def _directory(path: str, mode: int) -> list[str]:
    """Return the making of a directory; one that exists keeps its mode."""
    directory = shell_word(posixpath.dirname(path))
    return [f"[ -d {directory} ] || install -d -m {mode:04o} {directory}"]
