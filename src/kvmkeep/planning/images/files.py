"""How files of images are brought here: fetched, checked, unpacked, and given their names."""

from __future__ import annotations

from kvmkeep.model.command import Command, Meaning, Progress
from kvmkeep.model.names import IMAGE_DIR
from kvmkeep.model.spec import Packing
from kvmkeep.model.units import Size
from kvmkeep.planning.commands import HOUR, long_enough

_NO_WAY = tuple(
    Meaning(
        words=words,
        sentence="If this site has a proxy: export https_proxy=http://HOST:PORT, and run it again; "
        "sudo passes that on only with --preserve-env=https_proxy.",
    )
    for words in ("Could not resolve host", "timed out", "Failed to connect")
)
"""curl's words where an address is not known here, or not reached."""


def image_dir() -> Command:
    """Make the place where images lie; only root reads it."""
    return Command(
        argv=("install", "--directory", "--mode=0700", "--", IMAGE_DIR),
        why="make the directory for images",
    )


def bring(source: str, target: str, thing: str, limit: int) -> Command:
    """Fetch a file with curl, or copy a local one. `limit` is in bytes."""
    if not source.startswith(("http://", "https://")):
        return Command(argv=("cp", "--", source, target), why=f"take {thing}")
    return Command(
        argv=(
            # curl before 8.4 keeps to --max-filesize only where the server tells the size.
            "prlimit", f"--fsize={limit}", "--",
            "curl", "--disable", "--globoff", "--fail", "--location", "--silent", "--show-error",
            "--proto", "=http,https", "--max-filesize", str(limit), "--retry", "5",
            "--connect-timeout", "30", "--speed-limit", "1024", "--speed-time", "60",
            "--output", target, "--url", source,
        ),
        why=f"fetch {thing}",
        timeout=6 * HOUR,
        progress=Progress.FILE_SIZE,
        meanings=_NO_WAY,
        proxied=True,
    )  # fmt: skip


def check(digest: str, path: str, otherwise: str, *, fast: bool) -> Command:
    """Compare a file with a checksum (`algorithm:hex`); `fast` where openssl is there.

    It uses the processor's own SHA instructions. Debian's sha256sum does not, and took 4.6 times
    as long; that of EL is built with the same library. A name with a backslash is printed in
    another form, so it is left to sha256sum. `otherwise` says what follows from a wrong one.
    """
    algorithm, _, hexadecimal = digest.partition(":")
    why = f"compare the {algorithm} checksum"
    meanings = (Meaning(words="", sentence=otherwise),)
    if fast and "\\" not in path:
        return Command(
            argv=("openssl", "dgst", f"-{algorithm}", "-r", path),
            why=why,
            expect=f"{hexadecimal} *{path}",
            timeout=2 * HOUR,
            meanings=meanings,
        )
    return Command(
        argv=(f"{algorithm}sum", "--check", "--strict", "--quiet"),
        why=why,
        stdin=f"{hexadecimal}  {path}\n".encode(),
        timeout=2 * HOUR,
        meanings=meanings,
    )


def check_or_drop(
    digest: str, path: str, found: str, drops: tuple[str, ...], otherwise: str, *, fast: bool
) -> tuple[Command, ...]:
    """Compare a file with a checksum, and remove `drops` where it has another one.

    Only a checksum that was computed to its end, into the file `found`, removes anything: a run
    that is stopped meanwhile costs no download.
    """
    algorithm, _, hexadecimal = digest.partition(":")
    hashes = (
        ("openssl", "dgst", f"-{algorithm}", "-r")
        if fast
        else (f"{algorithm}sum", "--binary", "--")
    )
    # Both tools begin the line with a backslash where they had to escape the file's name.
    same = Command(
        argv=("grep", "-aqsE", "-e", rf"^\\?{hexadecimal} ", "--", found),
        why=f"compare the {algorithm} checksum",
        meanings=(Meaning(words="", sentence=otherwise),),
    )
    gone = remove((*drops, found), "drop what does not fit, so that it is fetched anew")
    return (
        Command(
            argv=(*hashes, path),
            why=f"compute the {algorithm} checksum",
            stdout_to=found,
            timeout=2 * HOUR,
        ),
        Command(argv=("sh", "-c", f"{same} || exec {gone}"), why=gone.why),
        same,
        remove((found,), "the checksum was right"),
    )


def remove(paths: tuple[str, ...], why: str) -> Command:
    """Remove working files; before `complete`, or a kill in between would leave them for ever."""
    return Command(argv=("rm", "--force", "--", *paths), why=why)


def complete(part: str, target: str) -> tuple[Command, ...]:
    """Give a file its name once it is safely on the disk."""
    return (
        Command(argv=("sync", "--", part), why="flush it to disk before it counts", timeout=HOUR),
        Command(argv=("mv", "--no-target-directory", "--", part, target), why="now it counts"),
    )


def unpack(packing: Packing, path: str, part: str, limit: Size) -> Command:
    """Unpack a file; what would grow beyond the limit is stopped by the kernel."""
    # A file that unpacks to more than fits is stopped by the kernel (setrlimit(2), RLIMIT_FSIZE).
    limited = ("prlimit", f"--fsize={limit.bytes}", "--")
    why = f"unpack {path}, to at most {limit}"
    argv: tuple[str, ...]
    if packing is Packing.ZSTD:
        argv = (*limited, "zstd", "-d", "--quiet", "--sparse", "--force", "-o", part, "--", path)
        stdout_to = ""
    else:
        tool = "gzip" if packing is Packing.GZIP else "xz"
        argv = (*limited, tool, "-dc", "--", path)
        stdout_to = part
    return Command(
        argv=argv,
        why=why,
        timeout=long_enough(limit),
        stdout_to=stdout_to,
        progress=Progress.FILE_SIZE,
    )
