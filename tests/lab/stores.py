"""Servers that store backups, on the machine that runs the lab, and borg for the lab's host.

All of it comes from Debian and PyPI, once, and is kept in the lab's cache. Nothing is installed
on this machine.
"""

from __future__ import annotations

import socket
import subprocess  # noqa: TID251 - servers of the tests
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lab import cache
from lab.debs import debs, install_debs
from lab.tools import run_tool, tool_environment

if TYPE_CHECKING:
    from lab.machine import Lab

OUTSIDE = "10.0.2.2"
"""This machine, as a lab's host sees it (qemu(1), `-netdev user`)."""
MOTO = "moto[server]>=5,<6"
FOR_BORG = ("borgbackup/bookworm-backports", "python3-pyfuse3")
SPACE = 1 << 30


def stores(lab: Lab) -> Path:
    """Return the directory with `rclone` and Python's packages for `moto`."""
    key = cache.key_of({"how": Path(__file__).read_bytes(), "python": sys.version.encode()})
    return cache.entry("stores", key, lambda place: _build(place, lab), needs=SPACE)


def _build(place: Path, lab: Lab) -> None:
    """Unpack rclone for this machine, and fetch moto."""
    log = cache.log_path("stores")
    (package,) = debs(lab, "rclone").glob("rclone_*.deb")
    run_tool(["dpkg-deb", "--extract", str(package), str(place / "package")], log, limit=60)
    (place / "package/usr/bin/rclone").rename(place / "rclone")
    run_tool(["rm", "-r", str(place / "package")], log, limit=60)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place / "moto")]
    run_tool([*pip, MOTO], log, limit=600)


def install_borg(lab: Lab) -> str:
    """Install borg from the backports on the lab's host, and return its version."""
    install_debs(lab, *FOR_BORG)
    return lab.run(["borg", "--version"], check=True).stdout.strip()


class Server:
    """A program that listens on a port of this machine alone; it can be stopped and come back."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self._log = log
        self._environment = tool_environment(environment)
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, *argv: str) -> None:
        """Start it, and return once it listens."""
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=self._environment
            )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self._process.poll() is None, self._log.read_text()
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        raise AssertionError(f"{argv[0]} does not listen: {self._log.read_text()}")

    def stop(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Rest(Server):
    """restic's REST server, with a login and a certificate of a CA that nobody knows."""

    USER, PASSWORD = "build", "p@ss/w:rd%20Canary7f3e"

    def __init__(self, tools: Path, place: Path) -> None:
        login = {"RCLONE_USER": self.USER, "RCLONE_PASS": self.PASSWORD}
        super().__init__(place / "rest.log", login)
        self._rclone = str(tools / "rclone")
        self._place = place
        self.ca = place / "ca.pem"
        log = place / "openssl.log"
        for line in (
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=ca"
            f" -keyout {place}/ca.key -out {self.ca}",
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=vault"
            f" -keyout {place}/rest.key -out {place}/rest.csr",
            f"x509 -req -in {place}/rest.csr -CA {self.ca} -CAkey {place}/ca.key -CAcreateserial"
            f" -days 30 -extfile {place}/names -out {place}/rest.pem",
        ):
            (place / "names").write_text(f"subjectAltName=IP:{OUTSIDE}\n")
            run_tool(["openssl", *line.split()], log, limit=60)

    @property
    def url(self) -> str:
        return f"rest:https://{OUTSIDE}:{self.port}/build/"

    def serve(self, *options: str) -> None:
        """Serve the same directory, as `options` say."""
        self.stop()
        place = self._place
        self.start(
            self._rclone, "serve", "restic", f"--addr=127.0.0.1:{self.port}",
            f"--cert={place}/rest.pem", f"--key={place}/rest.key", *options, str(place / "rest"),
        )  # fmt: skip


_MAKE_KEYS = """
import json, sys, boto3
iam = boto3.client("iam", endpoint_url=sys.argv[1], region_name="us-east-1",
                   aws_access_key_id="a", aws_secret_access_key="b")
iam.create_user(UserName="build")
key = iam.create_access_key(UserName="build")["AccessKey"]
may = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy(UserName="build", PolicyName="s3", PolicyDocument=json.dumps(may))
print(key["AccessKeyId"], key["SecretAccessKey"])
"""
_CALLS_BEFORE = 3
"""So many calls make the keys; from then on the server wants to know who calls."""


class S3(Server):
    """A small S3 server in memory, which knows its users: it forgets all when it is stopped."""

    def __init__(self, tools: Path, place: Path) -> None:
        self._python = {
            "PYTHONPATH": str(tools / "moto"),
            "INITIAL_NO_AUTH_ACTION_COUNT": str(_CALLS_BEFORE),
        }
        super().__init__(place / "s3.log", self._python)

    @property
    def url(self) -> str:
        return f"s3:http://{OUTSIDE}:{self.port}/bucket/build"

    def serve(self) -> tuple[str, str]:
        """Begin with nothing but one user, and return that one's keys."""
        self.stop()
        self.start(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port))
        made = subprocess.run(
            [sys.executable, "-c", _MAKE_KEYS, f"http://127.0.0.1:{self.port}"],
            env=self._environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=True, timeout=60,
        )  # fmt: skip
        key, secret = made.stdout.split()
        return key, secret
