"""`kvmkeep backup show`: one backup, as its manifest tells, and how its proof ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from kvmkeep.cli.backup_choice import add_repositories, choose
from kvmkeep.cli.backup_list import value
from kvmkeep.cli.context import unready
from kvmkeep.cli.goal import tell_notes
from kvmkeep.cli.verdict import text as verdict_text

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from kvmkeep.cli.context import Context
    from kvmkeep.model.backup import BackupEntry
    from kvmkeep.model.backup_manifest import Manifest
    from kvmkeep.model.backup_policy import Repository
    from kvmkeep.model.proof import Proof


class Args(Struct, frozen=True, kw_only=True):
    """Which backup, in which repositories."""

    backup: str
    repository: tuple[str, ...]


def add(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "backup", metavar="GUEST[@TIME]", help="the backup, as `list` names it; default: the last"
    )
    add_repositories(parser)


def run(args: Args, ctx: Context) -> int:
    """Print what there is of it, and what it is."""
    import msgspec

    from kvmkeep.model.units import Label
    from kvmkeep.observe.proof import kept_proof, kept_screen

    spec = ctx.spec()
    chosen = choose(ctx, spec, args.backup, args.repository)
    tell_notes(chosen.notes, ctx)
    entry = chosen.entry
    manifest = read_manifest(ctx, spec.repository(Label(entry.repository)), entry)
    kept = kept_proof(ctx.door(), entry.identity, entry.moment)
    proof = kept if kept is not None and kept.repository == entry.repository else None
    screen = "" if proof is None else kept_screen(ctx.door(), entry.identity, entry.moment)
    if ctx.json:
        proved = None if proof is None else {**msgspec.to_builtins(proof), "last_screen": screen}
        stored = msgspec.to_builtins(manifest)
        ctx.print_json({"backup": value(entry), "manifest": stored, "proof": proved})
    else:
        ctx.streams.result(f"{text(entry, manifest)}\n\n{_proved(proof, screen)}")
    return 0


def _proved(proof: Proof | None, screen: str) -> str:
    """Return what this host remembers of the backup's proof, with what the console showed."""
    from kvmkeep.model.text import one_line

    if proof is None:
        return "This host remembers no proof of it."
    lines = [verdict_text(proof), *(f"    {line}" for line in screen.splitlines())]
    lines.append(f"  tried: {one_line(proof.time)}")
    if proof.proven_before:
        lines.append(f"  proven before: {one_line(proof.proven_before)}")
    return "\n".join(lines)


def read_manifest(ctx: Context, repository: Repository, entry: BackupEntry) -> Manifest:
    """Return the manifest of a backup; raises Unready."""
    from kvmkeep.host.repositories import manifest
    from kvmkeep.host.tools import Unanswered
    from kvmkeep.model.host_units import PROGRAM

    door = ctx.door()
    try:
        return manifest(door, repository, door.which(PROGRAM), entry)
    except Unanswered as error:
        raise unready(error.problem) from error


def text(entry: BackupEntry, manifest: Manifest) -> str:
    """Return it for a terminal."""
    from kvmkeep.model.text import one_line

    made = manifest.versions
    rows = [
        ("backup", f"{entry.guest}@{entry.moment}"),
        ("repository", f"{entry.repository}, object {entry.manifest}"),
        ("consistency", manifest.level),
        ("read", f"{manifest.started} to {manifest.ended} on {manifest.host}"),
        ("guest", f"{manifest.guest}, identity {manifest.identity}, UUID {manifest.uuid}"),
        ("definition", ", ".join(_files(manifest)) or "none"),
        (
            "made by",
            f"kvmkeep {made.kvmkeep}, {made.engine}, libvirt {made.libvirt}, {made.emulator}",
        ),
        *(
            (
                f"disk {disk.disk}",
                f"{disk.size}, {disk.read} not zero, {disk.added} added, object {disk.object}",
            )
            for disk in manifest.disks
        ),
    ]
    wide = max(len(key) for key, _ in rows)
    return "\n".join(f"{key.ljust(wide)}  {one_line(rest)}" for key, rest in rows)


def _files(manifest: Manifest) -> list[str]:
    spec = (manifest.guest_spec, manifest.host_spec, manifest.template)
    return [name for name in (manifest.xml, manifest.nvram, *spec) if name]
