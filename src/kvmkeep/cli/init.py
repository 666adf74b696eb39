"""`kvmkeep init`: a commented starter spec from what is found on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.errors import Refused, Unready

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.host.door import Door


class Args(Struct, frozen=True, kw_only=True):
    """`show` prints the files instead of writing them."""

    show: bool


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--show", action="store_true", help="print the files, write nothing")


def run(args: Args, ctx: Context) -> int:
    """Write the files into the spec's directory; what is there already is never overwritten."""
    from kvmkeep.model.command import WriteFile

    door = ctx.door()
    if not args.show and _holds_files(door, ctx.spec_dir):
        raise Refused(
            f"{ctx.spec_dir} is not empty",
            hint="name another directory with --spec, or look first with --show",
        )
    from kvmkeep.spec.starter import starter

    files = starter(ctx.observe(None))
    if ctx.json:
        ctx.print_json({"directory": ctx.spec_dir, "written": not args.show, "files": dict(files)})
    elif args.show:
        ctx.streams.script("\n".join(f"# --- {name}\n{text}" for name, text in files.items()))
    if args.show:
        return 0
    for name, text in files.items():
        path = f"{ctx.spec_dir}/{name}"
        # A guest's file may come to hold a password's hash.
        file = WriteFile(path=path, content=text.encode(), why="the starter spec", dir_mode=0o700)
        try:
            door.write(file)
        except OSError as error:
            trouble = f"{path} can't be written: {error.strerror}"
            raise Unready(trouble, hint=_hint(error)) from error
        ctx.streams.talk(f"Wrote {path}")
    ctx.streams.talk("Next: read and change them, then type `kvmkeep validate`, `kvmkeep plan`.")
    return 0


def _holds_files(door: Door, directory: str) -> bool:
    try:
        return bool(door.names(directory))
    except OSError as error:
        text = f"{directory} can't be read: {error.strerror}"
        raise Unready(text, hint=_hint(error)) from error


def _hint(error: OSError) -> str:
    denied = isinstance(error, PermissionError)
    return "run it as root" if denied else "name another directory with --spec"
