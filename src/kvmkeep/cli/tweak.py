"""`kvmkeep tweak`: change what is in a guest's disk, or in a copy of an image, from outside."""

from __future__ import annotations

import posixpath
import sys
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.consent import add_consent, answers
from kvmkeep.cli.disks import add_disk, add_output, change_of, guest_of, looked
from kvmkeep.cli.goal import Goal, reach
from kvmkeep.errors import SpecError, Unready, UsageError
from kvmkeep.model.text import printable

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.spec import Guest
    from kvmkeep.model.tweak import Tweak
    from kvmkeep.spec.tweak import Given
    from kvmkeep.spec.tweak_document import TweakFile


class Args(Struct, frozen=True, kw_only=True):
    """Which disk, and what is to be changed; see `add`."""

    name: str
    from_: str
    password: tuple[str, ...]
    ssh_key: tuple[str, ...]
    sudo: tuple[str, ...]
    hostname: str | None
    serial_console: bool
    addresses: bool
    cloud_init: str | None
    datasources: str
    file: tuple[str, ...]
    run: tuple[str, ...]
    replace: bool
    output: str
    yes: bool
    dry_run: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    add_disk(parser)
    parser.add_argument(
        "--from", metavar="FILE.yaml", dest="from_", default="",
        help="a file with changes; flags add to it",
    )  # fmt: skip
    for option, metavar, text in (
        ("--password", "USER=FILE", "set a password to the line in FILE (-: stdin)"),
        ("--ssh-key", "USER=FILE", "add the public keys in FILE to the user's"),
        ("--sudo", "USER", "let a user become root without a password"),
        ("--file", "FILE=PATH", "write a file of this host to PATH inside the guest"),
        ("--run", "LINE", "run a line of shell in the guest's tree; only of a guest you trust"),
    ):
        parser.add_argument(option, metavar=metavar, action="append", default=[], help=text)
    parser.add_argument("--hostname", metavar="NAME", help="name the system")
    parser.add_argument(
        "--serial-console", action="store_true", help="a login and the kernel on the serial port"
    )
    parser.add_argument(
        "--addresses", action="store_true",
        help="set the interfaces up as the spec says, for whatever the guest uses",
    )  # fmt: skip
    parser.add_argument("--cloud-init", choices=("on", "off"), help="switch cloud-init on or off")
    parser.add_argument(
        "--datasources", metavar="LIST", default="",
        help="where cloud-init looks, such as ConfigDrive,NoCloud,None",
    )  # fmt: skip
    parser.add_argument(
        "--replace", action="store_true", help="replace files that are there; they are kept"
    )
    add_output(parser)
    add_consent(parser)


def run(args: Args, ctx: Context) -> int:
    """Look into the disk, show what is to be changed, and change it at once."""
    from kvmkeep.cli.beside import Beside
    from kvmkeep.model.tweak import Tweak
    from kvmkeep.planning.offline.tweak import plan_tweak

    guest = guest_of(args.name, ctx)
    change = change_of(guest, args.name, args.output, ctx)
    tweak = _wanted(args, guest, ctx)
    if tweak in {Tweak(), Tweak(replace=True)}:
        raise UsageError("nothing is to be changed", hint="type: kvmkeep tweak --help")
    beside = Beside(partial(looked, change))
    goal = Goal(
        verb="tweak",
        planner=lambda spec, facts: plan_tweak(
            spec, facts, beside.seen.change, tweak, beside.seen.fittings
        ),
        beside=beside,
    )
    return reach(goal, ctx, yes=args.yes, dry_run=args.dry_run)


def _wanted(args: Args, guest: Guest | None, ctx: Context) -> Tweak:
    from kvmkeep.model.tweak import Tweak
    from kvmkeep.spec.tweak import FLAGS, LARGEST, flag_tweak, load_tweak, merged

    given = _given(guest, ctx)
    filed = Tweak()
    if args.from_:
        try:
            content = ctx.door().read(args.from_, LARGEST + 1)
        except OSError as error:
            raise Unready(f"{args.from_} can't be read: {error.strerror}") from error
        if content is None:
            raise UsageError(f"there is no file {printable(args.from_)}")
        filed = load_tweak(ascii(args.from_)[1:-1], content, given)
    try:
        flagged = flag_tweak(_document(args), given)
    except SpecError as error:
        raise UsageError(error.message.replace(f"{FLAGS}:1:1: ", "")) from error
    return merged(filed, flagged)


def _given(guest: Guest | None, ctx: Context) -> Given:
    from kvmkeep.spec.tweak import LARGEST, Given

    def read(path: str) -> bytes | None:
        if path == "-" and answers():
            import getpass

            try:
                return getpass.getpass("Password: ").encode()
            except EOFError as error:
                raise UsageError("no password was typed") from error
            except UnicodeError as error:
                raise UsageError("what was typed is not UTF-8") from error
        if path == "-":
            return sys.stdin.buffer.readline(LARGEST + 1)
        return ctx.door().read(path, LARGEST + 1)

    def hashed(password: bytes) -> str:
        from kvmkeep.model.command import Command

        # openssl-passwd(1): -6 is SHA-512, which every crypt(3) of a guest knows.
        command = Command(
            argv=("openssl", "passwd", "-6", "-stdin"),
            why="hash a password",
            stdin=password + b"\n",
            secret_stdin=True,
        )
        result = ctx.door().run(command)
        if not result.ok:
            raise Unready("openssl can't hash the password", hint="install openssl")
        return result.text.strip()

    return Given(read=read, hashed=hashed, nics=guest.nics if guest is not None else None)


def _document(args: Args) -> TweakFile:
    """Return what the flags say, as a file would say it."""
    from kvmkeep.spec.tweak_document import (
        FileSection,
        PasswordSection,
        TweakFile,
    )

    keys: dict[str, tuple[str | None, ...]] = {}
    for user, file in _pairs("--ssh-key", args.ssh_key):
        keys[user] = (*keys.get(user, ()), posixpath.abspath(file))
    passwords = dict(_pairs("--password", args.password))
    if list(passwords.values()).count("-") > 1:
        raise UsageError("only one password can come from stdin")
    files = [(path, file) for file, path in _pairs("--file", args.file)]
    return TweakFile(
        passwords={
            user: PasswordSection(file=file if file == "-" else posixpath.abspath(file))
            for user, file in passwords.items()
        },
        ssh_keys=dict(keys),
        sudo=args.sudo,
        hostname=args.hostname,
        serial_console=args.serial_console,
        addresses="spec" if args.addresses else None,
        cloud_init=None if args.cloud_init is None else args.cloud_init == "on",
        datasources=tuple(name for name in args.datasources.split(",") if name),
        files={path: FileSection(file=posixpath.abspath(file)) for path, file in files},
        run=args.run,
        replace=args.replace,
    )


def _pairs(option: str, words: tuple[str, ...]) -> list[tuple[str, str]]:
    found = [word.partition("=") for word in words]
    if not all(left and right for left, _, right in found):
        raise UsageError(f"{option} takes two words with = between them")
    return [(left, right) for left, _, right in found]
