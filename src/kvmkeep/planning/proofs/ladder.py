"""The ladder of a proof: what is tried, in which order, and what the verdict is.

Each rung is tried by `kvmkeep rung`, which keeps how it went and ends well in any case. So a bad
backup is no failed step: what is seen of it is the next look's, and the verdict is made of facts.
"""

from __future__ import annotations

from kvmkeep.model.agent import agent_argv
from kvmkeep.model.command import Action, Command, Progress, WriteFile
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.proof import (
    AGENT,
    BLOCKS,
    CHECK,
    FILESYSTEMS,
    LOGIN,
    MEMORY,
    MOUNTS,
    OVERLAY,
    PARTITIONS,
    REPOSITORY,
    SCREEN,
    SCREEN_LIMIT,
    START,
    VARIABLES,
    filesystem_script,
    filesystems,
    proof_console,
    proof_domain,
    proof_run_dir,
)
from kvmkeep.model.units import Size
from kvmkeep.planning.aside import aside, ended_first
from kvmkeep.planning.backups.fetch import SLOW
from kvmkeep.planning.commands import HOUR, long_enough
from kvmkeep.planning.proofs.climb import Climb, given, likeness, nvram_copy, opened
from kvmkeep.planning.proofs.domain import has_agent, proof_xml
from kvmkeep.planning.proofs.parts import (
    Parts,
    end,
    make_bridge,
    make_overlay,
    overlay_size,
    remove,
)
from kvmkeep.planning.proofs.verdict import evidence_step
from kvmkeep.planning.repositories.files import LONGEST, plain, show

_LOOK = 1800
"""Seconds for libguestfs; without KVM its appliance needs minutes."""
_STARTING = 180
_CHECKING = 600
_ANY = (0, 1, 123, 124, 125, 126, 127)
"""However xargs(1) ends."""
_LIST = b"run\nlist-filesystems\nping-daemon\n"


def climb_steps(climb: Climb) -> tuple[Step, ...]:
    """Return what is still to be tried, and then to be kept as the proof."""
    ladder, steps = climb.ladder, []
    if ladder.rung(REPOSITORY) is None:
        steps.append(_repository_step(climb))
    looked, booted = ladder.rung(PARTITIONS) is not None, ladder.rung(SCREEN) is not None
    if not looked:
        steps.append(_data_step(climb))
    if not booted:
        steps.append(_start_step(climb, "" if looked else "which filesystems are in it"))
    steps.append(evidence_step(climb, "" if booted else "how far it gets"))
    return tuple(steps)


def _repository_step(climb: Climb) -> Step:
    check = climb.parts.driver.check()
    rung = _rung(climb, REPOSITORY, aside(check.argv), check.why, limit=int(check.timeout))
    return Step(
        noun=Noun.STORAGE,
        subject=climb.subject,
        what=f"check repository {climb.entry.repository}",
        why="nothing in it may be missing or out of order",
        actions=(rung,),
    )


def _data_step(climb: Climb) -> Step:
    parts = climb.parts
    compares = tuple(
        _rung(
            climb, BLOCKS + one.disk,
            aside((
                climb.program, "blocks", "verify", parts.data(one.disk),
                f"--blocks={parts.beside(one.blocks)}", f"--sum={one.blocks_sha256}",
                f"--size={one.size.bytes}",
            )),
            f"compare disk {one.disk} with what was read at the backup",
            limit=int(long_enough(one.size, SLOW)), size=one.size.bytes,
        )
        for one in parts.content.disks
    )  # fmt: skip
    # In the middle of a comparison, its end would look like a broken repository.
    lasts = max(LONGEST, sum(one.timeout for one in compares) + _LOOK)
    why = "find its partitions and filesystems, in a small virtual machine that writes nothing"
    look = _rung(climb, PARTITIONS, _guestfish(parts), why, limit=_LOOK, stdin=_LIST)
    return Step(
        noun=Noun.STORAGE,
        subject=climb.subject,
        what="compare each block with its checksum, and look for filesystems",
        why="it has to be what was read, and to hold something",
        actions=(*_prepared(climb, lasts), *compares, look),
        always=_ended(climb),
        finally_=_removed(climb),
    )


def _start_step(climb: Climb, assumes: str) -> Step:
    domain, above = proof_domain(climb.guest), proof_run_dir(climb.guest)
    overlays = tuple(_overlay(climb, one.disk) for one in climb.parts.content.disks)
    actions: tuple[Action, ...] = (
        *_prepared(climb),
        *overlays,
        _filesystem_rung(climb),
        # Made anew: the guest starts from what is in the backup.
        *overlays,
        *_firmware(climb),
        *_memory(climb),
        make_bridge(climb.guest),
        WriteFile(
            path=f"{above}/domain.xml",
            content=proof_xml(likeness(climb)).encode(),
            why="describe the guest: another name and UUID, the same cards and disks",
        ),
        _rung(
            climb, START, ("virsh", "create", "--", f"{above}/domain.xml"),
            "start it from the backup; libvirt keeps nothing of it", limit=_STARTING,
            needs=given(climb),
        ),
        _ended_first(domain),
        *_inside(climb, domain),
        _rung(
            climb, SCREEN, ("tail", f"--bytes={SCREEN_LIMIT}", "--", proof_console(climb.guest)),
            "keep what its console shows in the end",
        ),
    )  # fmt: skip
    return Step(
        noun=Noun.DOMAINS,
        subject=climb.subject,
        what=f"check its filesystems, and start it as {domain} on a bridge without an uplink",
        why="a backup is good if the guest comes up from it",
        actions=actions,
        always=_ended(climb),
        finally_=_removed(climb),
        assumes=assumes,
    )


def _ended_first(domain: str) -> Command:
    """Return what has the kernel end the proof before a guest, where the host's memory runs out.

    That it can't be had is no reason against the proof, and where it was not started, there is no
    such file: that rung tells.
    """
    return Command(
        argv=ended_first(f"/run/libvirt/qemu/{domain}.pid"),
        why="where the host's memory runs out, it is to end before any guest",
        ok=_ANY,
    )


def _prepared(climb: Climb, lasts: float = LONGEST) -> tuple[Action, ...]:
    extent = climb.scene.group.extent if climb.scene.group is not None else Size(1)
    parts = climb.parts
    overlays = (
        make_overlay(parts, one.disk, overlay_size(one.size, extent)) for one in parts.content.disks
    )
    looks = (command for path in parts.files for command in plain(path))
    return (*overlays, *show(parts.shown, parts.driver, lasts), *looks)


def _ended(climb: Climb) -> tuple[Command, ...]:
    return end(climb.parts.host, climb.guest)


def _removed(climb: Climb) -> tuple[Command, ...]:
    return remove(climb.parts.vg, climb.guest, climb.overlays)


def _filesystem_rung(climb: Climb) -> Command:
    found = filesystems(climb.ladder.said.get(PARTITIONS, ""))
    return _rung(
        climb, FILESYSTEMS, _writing(climb.parts), "check its filesystems",
        limit=int(4 * HOUR), stdin=filesystem_script(found), needs=(PARTITIONS, *opened(climb)),
    )  # fmt: skip


def _overlay(climb: Climb, disk: str) -> Command:
    parts = climb.parts
    make = (
        "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", parts.data(disk),
        parts.overlay(disk),
    )  # fmt: skip
    why = f"have disk {disk} read from the backup, and its changes written beside it"
    return _rung(climb, OVERLAY + disk, make, why)


def _firmware(climb: Climb) -> tuple[Command, ...]:
    parts = climb.parts
    if not parts.content.nvram:
        return ()
    own = parts.beside(parts.content.nvram)
    install = ("install", "--mode=0600", "--", own, nvram_copy(climb))
    return (_rung(climb, VARIABLES, install, "give it a copy of its firmware's variables"),)


def _memory(climb: Climb) -> tuple[Command, ...]:
    """Return what keeps that the guest has less memory than it is used to.

    The verdict is made later, when the host may have more or less to spare.
    """
    if not climb.little:
        return ()
    return (_rung(climb, MEMORY, ("echo", climb.little), "keep with how much memory it starts"),)


def _inside(climb: Climb, domain: str) -> tuple[Command, ...]:
    """Return the rungs that the guest itself has to climb."""
    agent = has_agent(climb.xml)
    pattern = ("grep", "-aqsE", "-e", "login:", "--", proof_console(climb.guest))
    # Where its agent answers it is up, and its prompt is there or does not come.
    wait = 20 if agent else climb.patience
    login = _rung(climb, LOGIN, pattern, "wait for a login prompt", needs=(START,), patience=wait)
    if not agent:
        return (login,)
    ping = agent_argv(domain, "guest-ping", 10)
    # An agent whose state lies on the disk goes on as it was at the backup: frozen (qemu-ga(8)).
    thaw = agent_argv(domain, "guest-fsfreeze-thaw", 10)
    mounts = agent_argv(domain, "guest-get-fsinfo", 10)
    run = (climb.program, "guest-run", f"--limit={_CHECKING}", domain, "--", *climb.check)
    check = _rung(
        climb, CHECK, run, "run your own check in it", needs=(AGENT,), limit=_CHECKING + 60
    )
    return (
        _rung(climb, AGENT, ping, "wait for its agent", needs=(START,), patience=climb.patience),
        login,
        _rung(climb, "thaw", thaw, "have its agent forget that it was frozen", needs=(AGENT,)),
        _rung(climb, MOUNTS, mounts, "ask what it has mounted", needs=(AGENT,), patience=60),
        *((check,) if climb.check else ()),
    )


def _guestfish(parts: Parts) -> tuple[str, ...]:
    disks = (word for one in parts.content.disks for word in ("-a", parts.data(one.disk)))
    return aside(("guestfish", "--ro", "--format=raw", *disks))


def _writing(parts: Parts) -> tuple[str, ...]:
    """Return a look that replays journals and corrects, all of which goes to the overlays.

    With --ro, libguestfs keeps what is written in a file in the host's /tmp, however much it is.
    """
    disks = (word for one in parts.content.disks for word in ("-a", parts.overlay(one.disk)))
    return aside(("guestfish", "--rw", "--format=qcow2", *disks))


def _rung(
    climb: Climb,
    name: str,
    argv: tuple[str, ...],
    why: str,
    *,
    needs: tuple[str, ...] = (),
    limit: int = 60,
    patience: int = 0,
    size: int = 0,
    stdin: bytes = b"",
) -> Command:
    options = (
        *((f"--size={size}",) if size else ()),
        *(f"--needs={need}" for need in needs),
        *((f"--patience={patience}",) if patience else ()),
        *(("--stdin",) if stdin else ()),
    )
    return Command(
        argv=(
            climb.program, "rung", name, f"--into={climb.results}", f"--limit={limit}", *options,
            "--", *argv,
        ),
        why=why,
        stdin=stdin,
        timeout=limit + patience + 120.0,
        progress=Progress.BLOCKS if size else Progress.NONE,
        total_bytes=size,
    )  # fmt: skip
