"""The account of a guest. No message repeats a key or a hash."""

from __future__ import annotations

import base64
import binascii
import re

from kvmkeep.model.spec import Login
from kvmkeep.model.text import printable
from kvmkeep.spec.guest_document import GuestFile, LoginSection
from kvmkeep.spec.source import Source

NO_LOGIN = Login(user="", ssh_keys=(), password_hash="", sudo=False)
"""No account is made: only for a guest without configuration at first boot."""

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)

# crypt(5). MD5 ($1$) and DES are left out: they are broken in hours.
_SALT = r"[./0-9A-Za-z]"
_HASH = re.compile(
    rf"\$g?y\${_SALT}+\${_SALT}{{1,86}}\${_SALT}{{43}}"
    rf"|\$7\${_SALT}{{11,97}}\${_SALT}{{43}}"
    rf"|\$2[aby]\$[0-9]{{2}}\${_SALT}{{53}}"
    rf"|\$6\$(?:rounds=[1-9][0-9]{{3,8}}\$)?{_SALT}{{1,16}}\${_SALT}{{86}}"
    rf"|\$5\$(?:rounds=[1-9][0-9]{{3,8}}\$)?{_SALT}{{1,16}}\${_SALT}{{43}}"
)


def resolve_login(source: Source[GuestFile], section: LoginSection) -> Login | None:
    """Return the account; None after noting what is wrong with it."""
    user = source.parse(("login", "user"), parse_user, section.user)
    found = [
        source.parse(("login", "ssh_keys", position), parse_ssh_key, text)
        for position, text in enumerate(section.ssh_keys)
    ]
    keys = tuple(key for key in found if key is not None)
    password = source.parse(("login", "password_hash"), parse_password_hash, section.password_hash)
    if not any(source.has("login", field) for field in ("ssh_keys", "password_hash")):
        source.wrong(("login",), "nobody could log in (add ssh_keys or password_hash)")
    elif not section.ssh_keys and not source.has("login", "password_hash"):
        source.wrong(("login", "ssh_keys"), "nobody could log in (add a key or password_hash)")
    if user is None:
        return None
    return Login(user=user, ssh_keys=keys, password_hash=password or "", sudo=section.sudo)


def parse_ssh_key(text: str) -> str:
    """Accept a public key as one line of authorized_keys, without options before it."""
    line = text.replace("\t", " ").strip()
    if "PRIVATE KEY" in line:
        raise ValueError("this is a private key (the .pub file is wanted; make a new pair)")
    if not line.isprintable():
        raise ValueError("a key is one line of printable text")
    words = line.split(None, 2)
    kind, data = [*words, "", ""][:2]
    if kind not in _KEY_TYPES:
        raise ValueError(f"not a public SSH key (it begins with one of {', '.join(_KEY_TYPES)})")
    if _fields(data)[:1] != [kind.encode()]:
        raise ValueError("the SSH key is damaged (copy the .pub file's line again)")
    return " ".join(words)


def parse_password_hash(text: str) -> str:
    """Accept a hash in crypt(5) form."""
    if _HASH.fullmatch(text) is None:
        raise ValueError(
            "not a password hash of crypt(5), beginning with $y$ or $6$ "
            "(mkpasswd or openssl passwd -6 makes one)"
        )
    return text


def parse_user(text: str) -> str:
    """Accept a user name: useradd(8)'s pattern."""
    if _USER.fullmatch(text) is None:
        raise ValueError(
            f"{printable(text)} can't be a user's name "
            "(1 to 32 of a-z, 0-9, '_' and '-', beginning with a letter or '_')"
        )
    return text


def _fields(encoded: str) -> list[bytes]:
    """Return the fields of a public key (RFC 4253, 6.6), or none where they don't add up."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return []
    fields: list[bytes] = []
    position = 0
    while position < len(blob):
        length = int.from_bytes(blob[position : position + 4], "big")
        fields.append(blob[position + 4 : position + 4 + length])
        position += 4 + length
    return fields if position == len(blob) and len(fields) > 1 else []
