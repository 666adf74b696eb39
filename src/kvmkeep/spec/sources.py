"""Paths, URLs and checksums: where images come from, and how they are known to be right."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import urlsplit

from kvmkeep.model.spec import Algorithm, Checksum, Format, Packing
from kvmkeep.model.text import printable
from kvmkeep.model.units import parse_size

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_URL = re.compile(r"https?://[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_NO_FILES = ("/dev/", "/proc/", "/sys/")
_DIGITS = {Algorithm.SHA256: 64, Algorithm.SHA512: 128}
_FORMATS = {".raw": Format.RAW, ".img": Format.RAW, ".qcow2": Format.QCOW2}
_PACKINGS = {".gz": Packing.GZIP, ".xz": Packing.XZ, ".zst": Packing.ZSTD}


def parse_path(text: str, directory: str) -> str:
    """Return the absolute path of a file; a relative one is taken from the spec's directory.

    QEMU reads `json:...` and `nbd:...` as instructions, not as names; they are refused here.
    """
    if not text or not text.isprintable() or len(text) > 1024:
        raise ValueError(f"{printable(text)} can't be a path")
    if _SCHEME.match(text):
        raise ValueError("not a path (it begins with a word and ':')")
    path = posixpath.normpath(posixpath.join(directory, text))
    # POSIX keeps two slashes at the beginning apart; Linux does not.
    path = "/" + path.lstrip("/")
    if path == "/" or text.endswith("/"):
        raise ValueError(f"{printable(text)} is a directory (a file is wanted)")
    if path.startswith(_NO_FILES):
        raise ValueError(f"{printable(text)} is not an ordinary file (copy it to one)")
    return path


def parse_url(text: str) -> str:
    """Accept an http or https URL without a password. Messages never repeat it: it may hold one."""
    scheme = _SCHEME.match(text)
    if scheme and scheme[0].lower() not in {"http:", "https:"}:
        raise ValueError("the URL has another scheme than http or https")
    if _URL.fullmatch(text) is None or len(text) > 2000:
        raise ValueError("not a URL (such as https://images.example.org/rocky9.qcow2)")
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        raise ValueError("the URL's host or port is wrong") from None
    if "@" in parts.netloc:
        raise ValueError("the URL holds a user or password (a secret has no place in a spec)")
    if _HOST.fullmatch(host) is None or port == 0:
        raise ValueError("the URL's host or port is wrong")
    if parts.fragment:
        raise ValueError("the URL holds a '#' (remove it and what follows)")
    return text


def parse_place(text: str, directory: str) -> str:
    """Accept a URL or a path, and return the URL or the absolute path."""
    if "://" in text:
        return parse_url(text)
    return parse_path(text, directory)


def parse_directory(text: str) -> str:
    """Accept the absolute path of a directory other than the root."""
    path = posixpath.normpath(text)
    if not text.startswith("/") or not text.isprintable() or len(text) > 1024:
        raise ValueError(f"{printable(text)} is not an absolute path (such as /root/kvm)")
    if not path.strip("/"):
        raise ValueError("the root directory can't be used here")
    return "/" + path.lstrip("/")


def parse_digest(algorithm: Algorithm, text: str) -> Checksum:
    """Accept the hex digits of a checksum; letter case doesn't matter."""
    wanted = _DIGITS[algorithm]
    if re.fullmatch(r"[0-9a-fA-F]*", text) is None:
        raise ValueError(f"not a {algorithm} checksum ({wanted} hex digits and nothing else)")
    if len(text) != wanted:
        raise ValueError(f"{len(text)} hex digits are not a {algorithm} checksum (it has {wanted})")
    return Checksum(algorithm=algorithm, digest=text.lower())


def parse_rate(text: str) -> int:
    """Accept a size for each second, with or without `/s`; return bytes."""
    return parse_size(text.removesuffix("/s")).bytes


def told_by_name(source: str) -> tuple[Format | None, Packing]:
    """Return the format and packing that a file's name tells by its endings."""
    name = urlsplit(source).path if "://" in source else source
    stem, suffix = posixpath.splitext(posixpath.basename(name).lower())
    packing = _PACKINGS.get(suffix, Packing.NONE)
    if packing is not Packing.NONE:
        suffix = posixpath.splitext(stem)[1]
    return _FORMATS.get(suffix), packing
