"""The spec's files to a Spec."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar
from xml.parsers import expat

from msgspec.structs import replace

from kvmkeep.errors import Unready
from kvmkeep.host.door import Door
from kvmkeep.model.spec import Place, Spec
from kvmkeep.model.template import PLACEHOLDERS, unknown_placeholders
from kvmkeep.model.text import escaped_name
from kvmkeep.spec.convert import convert
from kvmkeep.spec.document import Section
from kvmkeep.spec.guest_document import GuestFile
from kvmkeep.spec.host_document import HostFile
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import LARGEST_FILE, decode, read_tree
from kvmkeep.spec.resolve import resolve
from kvmkeep.spec.source import Source
from kvmkeep.spec.sources import parse_path

HOST_FILE = "host.yaml"
GUEST_DIR = "guests"

_ENDING = ".yaml"
_LOOKALIKES = (".yml", ".json")
_NO_FILES: Mapping[str, bytes] = MappingProxyType({})

Doc = TypeVar("Doc", bound=Section)

Reader = Callable[[str], bytes | None]
"""Returns the content of a file of the spec by its path in it, or None where there is none."""


def load_if_any(directory: str, door: Door) -> Spec | None:
    """Return the same as `load`, or None where there is no host.yaml: the spec was let go."""
    if door.read(posixpath.join(directory, HOST_FILE)) is None:
        return None
    return load(directory, door)


def load(
    directory: str,
    door: Door,
    also: Mapping[str, bytes] = _NO_FILES,
    seen: dict[str, bytes] | None = None,
) -> Spec:
    """Return the spec that the files of a directory hold.

    `also` are files by their path in it that are taken for there, in place of any that are. `seen`
    takes the content of each file that was read.
    Raises SpecError with one line for each mistake in all of the files, Unready where a file
    may not be read.
    """

    def read(path: str) -> bytes | None:
        if path in also:
            return also[path]
        place = posixpath.join(directory, path)
        content = door.read(place, LARGEST_FILE + 1)
        if content is None and door.look(place) is not None:
            raise OSError(errno.EINVAL, "it is not a regular file", place)
        if content is not None and seen is not None:
            seen[path] = content
        return content

    mistakes = Mistakes()
    guests = posixpath.join(directory, GUEST_DIR)
    names: tuple[str, ...] = ()
    try:
        names = door.names(guests)
        if not names:
            _demand_directory(directory, door, mistakes)
            mistakes.stop_if_any()
            _demand_directory(guests, door, mistakes)
    except PermissionError as error:
        raise _forbidden(guests) from error
    except OSError as error:
        where = Place(file=escaped_name(guests), line=1, column=1)
        mistakes.add(where, f"the directory can't be read: {error.strerror}")
    new = (path for path in also if posixpath.dirname(path) == GUEST_DIR)
    return _load(
        [*dict.fromkeys((*(f"{GUEST_DIR}/{name}" for name in names), *new))],
        read,
        mistakes,
        directory=posixpath.abspath(directory),
        shown=directory,
    )


def load_bytes(
    files: Mapping[str, bytes], directory: str, *, shown: str = "", shared: bool = False
) -> Spec:
    """Return the spec that these files hold, by their paths in a directory; raises SpecError.

    `shown` is that directory as places in the spec name it; `shared` is for `Claims`.
    """
    names = [name for name in files if posixpath.dirname(name) == GUEST_DIR]
    return _load(names, files.get, Mistakes(), directory=directory, shown=shown, shared=shared)


def _load(
    names: list[str],
    read: Reader,
    mistakes: Mistakes,
    *,
    directory: str,
    shown: str,
    shared: bool = False,
) -> Spec:
    def place(path: str) -> str:
        return escaped_name(posixpath.join(shown, path))

    host = _document(HOST_FILE, place(HOST_FILE), read, HostFile, mistakes)
    guests: list[Source[GuestFile]] = []
    for name in sorted(names):
        if posixpath.basename(name).startswith("."):
            continue
        if name.endswith(_ENDING):
            guests.append(_document(name, place(name), read, GuestFile, mistakes))
        elif name.lower().endswith((_ENDING, *_LOOKALIKES)):
            where = Place(file=place(name), line=1, column=1)
            mistakes.add(where, "this file is not read (its name must end in .yaml)")
    file = template = ""
    if host.document is not None and host.document.template is not None:
        file, template = _template(host, host.document.template, read, directory)
    spec = resolve(
        host, guests, directory=directory, template=template, mistakes=mistakes, shared=shared
    )
    return replace(spec, template_file=file)


def _document(
    path: str, shown: str, read: Reader, kind: type[Doc], mistakes: Mistakes
) -> Source[Doc]:
    """Return a file's document; what is wrong with the file is noted."""
    content = _read(path, shown, read, mistakes)
    text = None if content is None else decode(shown, content, mistakes)
    node = None if text is None else read_tree(shown, text, mistakes)
    return convert(shown, node, kind, mistakes)


def _read(path: str, shown: str, read: Reader, mistakes: Mistakes) -> bytes | None:
    where = Place(file=shown, line=1, column=1)
    try:
        content = read(path)
        hint = _host_hint(read) if content is None and path == HOST_FILE else ""
    except PermissionError as error:
        raise _forbidden(shown) from error
    except OSError as error:
        mistakes.add(where, f"the file can't be read: {error.strerror}")
        return None
    if content is None:
        mistakes.add(where, f"there is no such file{hint}")
    return content


def _host_hint(read: Reader) -> str:
    stem = HOST_FILE.removesuffix(_ENDING)
    for name in (stem + ending for ending in _LOOKALIKES):
        if read(name) is not None:
            return f" (there is {name}: its name must end in .yaml)"
    return " (kvmkeep init writes one)"


def _demand_directory(path: str, door: Door, mistakes: Mistakes) -> None:
    """Note what is there and holds no names, since it is no directory, or a link to none."""
    found = door.look(path)
    where = Place(file=escaped_name(path), line=1, column=1)
    if found is None or found.kind == "directory":
        return
    if found.kind != "symlink":
        mistakes.add(where, "this is not a directory")
    elif door.look(posixpath.join(path, ".")) is None:  # through the link: path_resolution(7)
        mistakes.add(
            where,
            "this link leads to no directory (mount the filesystem that it leads to, or correct "
            "the link)",
        )


def _forbidden(path: str) -> Unready:
    return Unready(f"{escaped_name(path)} can't be read: permission denied", hint="run it as root")


def _template(source: Source[HostFile], name: str, read: Reader, directory: str) -> tuple[str, str]:
    """Return path and text of the base template, or nothing after noting what is wrong with it."""
    path = source.parse(("template",), lambda text: parse_path(text, directory), name)
    if path is None:
        return "", ""
    own = posixpath.relpath(path, directory)
    try:
        content = read(path if own.startswith("../") else own)
    except PermissionError as error:
        raise _forbidden(path) from error
    except OSError as error:
        source.wrong(("template",), f"the file {path} can't be read: {error.strerror}")
        return "", ""
    if content is None:
        source.wrong(("template",), f"there is no file {path}")
        return "", ""
    text = decode(path, content, source.mistakes)
    if text is not None:
        _check_xml(path, text, source.mistakes)
        for at, word in unknown_placeholders(text):
            line = text.count("\n", 0, at) + 1
            where = Place(file=path, line=line, column=at - text.rfind("\n", 0, at))
            known = ", ".join(sorted(PLACEHOLDERS))
            source.mistakes.add(where, f"unknown placeholder {word} (known: {known})")
    return path, text or ""


def _check_xml(path: str, text: str, mistakes: Mistakes) -> None:
    """Note XML that does not parse, that declares entities, or that is no domain."""
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        where = Place(file=path, line=parser.CurrentLineNumber, column=1)
        mistakes.add(where, "a DOCTYPE is not used here (remove it)")

    def begin(name: str, _attributes: object) -> None:
        parser.StartElementHandler = None
        if name != "domain":
            where = Place(file=path, line=parser.CurrentLineNumber, column=1)
            mistakes.add(where, f"its root element is <{name}>, not <domain>")

    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = refuse
    # Without this, an entity that refers to itself a million times would be expanded.
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        where = Place(file=path, line=error.lineno, column=error.offset + 1)
        mistakes.add(where, f"this is not XML: {expat.ErrorString(error.code)}")
