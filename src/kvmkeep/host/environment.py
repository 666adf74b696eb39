"""The environment that commands run in: rebuilt, so that a plan runs alike for everyone."""

from __future__ import annotations

import os

from kvmkeep.model.names import LIBVIRT_URI

PATH = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")

_PASSED_ON = ("LIBGUESTFS_PATH", "LIBGUESTFS_BACKEND_SETTINGS")


_PROXIES = (
    "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
)  # fmt: skip
"""curl(1), "Environment": of HTTP's, only the name in small letters is read."""


def proxies() -> dict[str, str]:
    """Return the variables that tell a command which way the network is to be reached."""
    return {name: os.environ[name] for name in _PROXIES if name in os.environ}


def without_credentials(said: bytes, variables: dict[str, str]) -> bytes:
    """Return what a command said, without the names and passwords in the addresses of proxies."""
    for value in variables.values():
        login = value.rpartition("@")[0].rpartition("//")[2]
        if login:
            said = said.replace(os.fsencode(login), b"(secret)")
    return said


def environment(path: tuple[str, ...] = PATH) -> dict[str, str]:
    """Return the whole environment of a command.

    libguestfs starts its appliance by itself (`direct`): through libvirt it would need to give
    the appliance's user access to root's files.
    """
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "PATH": ":".join(path),
        "LC_ALL": "C.UTF-8",
        "HOME": "/root",
        "LIBVIRT_DEFAULT_URI": LIBVIRT_URI,
        "LIBGUESTFS_BACKEND": "direct",
        **passed,
    }


def invoker(loginuid: str = "/proc/self/loginuid") -> str:
    """Return who started this: the user behind sudo, else of the login session, else our own."""
    import pwd  # noqa: PLC0415 - only a run that changes something asks

    user = os.environ.get("SUDO_USER", "")
    if user and user.isprintable():
        return user
    try:
        with open(loginuid, encoding="ascii") as file:
            uid = int(file.read())
    except (OSError, ValueError):
        uid = os.geteuid()
    for candidate in (uid, os.geteuid()):
        try:
            return pwd.getpwuid(candidate).pw_name
        except KeyError:
            continue  # 4294967295: nobody logged in, as for a service
    return str(os.geteuid())
