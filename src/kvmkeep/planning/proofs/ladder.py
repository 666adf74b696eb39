"""The ladder of a proof: what is tried, in which order, and what the verdict is.

Each rung is tried by `kvmkeep rung`, which keeps how it went and ends well in any case. So a bad
backup is no failed step: what is seen of it is the next look's, and the verdict is made of facts.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.agent import agent_argv
from kvmkeep.model.backup import BackupEntry
from kvmkeep.model.command import Action, Command, WriteFile
from kvmkeep.model.names import PROOFS_DIR
from kvmkeep.model.plan import Noun, Step
from kvmkeep.model.proof import (
    AGENT,
    BLOCKS,
    CHECK,
    DISKS,
    FILESYSTEMS,
    LOGIN,
    MOUNTS,
    PARTITIONS,
    REPOSITORY,
    SCREEN,
    SCREEN_LIMIT,
    START,
    Ladder,
    Proof,
    Rung,
    filesystem_script,
    filesystems,
    last_screen,
    missing_mounts,
    proof_bridge,
    proof_console,
    proof_domain,
    proof_lv,
    proof_run_dir,
    proof_uuid,
)
from kvmkeep.model.units import Size
from kvmkeep.planning.aside import aside, ended_first
from kvmkeep.planning.commands import HOUR, long_enough, remove_tree
from kvmkeep.planning.proofs.domain import Likeness, ProofDisk, beside, has_agent, proof_xml
from kvmkeep.planning.proofs.parts import (
    Parts,
    make_bridge,
    make_overlay,
    overlay_size,
    results_dir,
    take_down,
)
from kvmkeep.planning.repositories.files import plain, show
from kvmkeep.planning.scene import Scene, aliases

_LOOK = 1800
"""Seconds for libguestfs; without KVM its appliance needs minutes."""
_STARTING = 180
_CHECKING = 600
_RUNGS = (REPOSITORY, PARTITIONS, FILESYSTEMS, START, AGENT, LOGIN, MOUNTS, CHECK)
_ANY = (0, 1, 123, 124, 125, 126, 127)
"""However xargs(1) ends."""
_LIST = b"run\nlist-filesystems\nping-daemon\n"


class Climb(Struct, frozen=True, kw_only=True):
    """A proof on its way. `asked` is when it was asked for (ISO 8601), `run` its directory's name.

    `program` is kvmkeep's path. `patience` is in seconds: how long the guest may take to be up.
    `check` is the user's own command in the guest; empty for none. `memory` is the most that the
    guest may have.
    """

    scene: Scene
    parts: Parts
    entry: BackupEntry
    xml: str
    asked: str
    run: str
    program: str
    patience: int
    check: tuple[str, ...]
    memory: Size
    ladder: Ladder

    @property
    def guest(self) -> str:
        """Whose backup it is."""
        return self.parts.guest

    @property
    def subject(self) -> str:
        """What the steps are about."""
        return f"backup {self.guest}@{self.entry.moment}"

    @property
    def results(self) -> str:
        """Where the results are kept meanwhile."""
        return results_dir(self.guest, self.run)

    @property
    def overlays(self) -> tuple[str, ...]:
        """The names of the overlays' LVs."""
        return tuple(proof_lv(self.guest, one.disk) for one in self.parts.content.disks)


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
    steps.append(_evidence_step(climb, "" if booted else "how far it gets"))
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
            limit=int(long_enough(one.size)),
        )
        for one in parts.content.disks
    )  # fmt: skip
    why = "find its partitions and filesystems, in a small virtual machine that writes nothing"
    look = _rung(climb, PARTITIONS, _guestfish(parts), why, limit=_LOOK, stdin=_LIST)
    return Step(
        noun=Noun.STORAGE,
        subject=climb.subject,
        what="compare each block with its checksum, and look for filesystems",
        why="it has to be what was read, and to hold something",
        actions=(*_prepared(climb), *compares, look),
        finally_=_taken_down(climb),
    )


def _start_step(climb: Climb, assumes: str) -> Step:
    parts = climb.parts
    domain, above = proof_domain(climb.guest), proof_run_dir(climb.guest)
    actions: tuple[Action, ...] = (
        *_prepared(climb),
        _filesystem_rung(climb),
        *(_overlay(parts, one.disk) for one in parts.content.disks),
        *_firmware(climb),
        make_bridge(climb.guest),
        WriteFile(
            path=f"{above}/domain.xml",
            content=proof_xml(likeness(climb)).encode(),
            why="describe the guest: another name and UUID, the same cards and disks",
        ),
        _rung(
            climb, START, ("virsh", "create", "--", f"{above}/domain.xml"),
            "start it from the backup; libvirt keeps nothing of it", limit=_STARTING,
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
        finally_=_taken_down(climb),
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


def _evidence_step(climb: Climb, assumes: str) -> Step:
    proof = verdict(climb)
    place = _evidence(climb)
    screen = last_screen(climb.ladder.said.get(SCREEN, "").encode())
    return Step(
        noun=Noun.STORAGE,
        subject=climb.subject,
        what=f"keep the verdict in {place}.json",
        why="it is the evidence, with the times and the console's last screen",
        actions=(
            WriteFile(
                path=proof.screen, content=screen.encode(), why="keep the screen", dir_mode=0o700
            ),
            WriteFile(
                path=f"{place}.json",
                content=msgspec.json.encode(proof),
                why="keep how far it got",
                dir_mode=0o700,
            ),
            remove_tree(climb.results, "the results are in it"),
        ),
        assumes=assumes,
    )


def verdict(climb: Climb) -> Proof:
    """Return the proof: proven if each rung held.

    A guest whose agent answers is up, whether or not its console asks for a login.
    """
    ladder = climb.ladder
    disks = tuple(BLOCKS + one.disk for one in climb.parts.content.disks)
    names = (_RUNGS[0], *disks, *_RUNGS[1:])
    found = [rung for name in names if (rung := ladder.rung(name)) is not None]
    if ladder.passed(AGENT):
        found = [rung for rung in found if rung.passed or rung.name != LOGIN]
    rungs = (*_lacking(climb), *(_judged(climb, rung) for rung in found))
    return Proof(
        repository=climb.entry.repository,
        guest=climb.guest,
        moment=climb.entry.moment,
        time=climb.asked,
        proven=bool(found) and all(rung.passed for rung in rungs),
        rungs=rungs,
        screen=f"{_evidence(climb)}.screen",
        identity=climb.entry.identity,
    )


def _lacking(climb: Climb) -> tuple[Rung, ...]:
    """Return the rung that falls where the guest has disks beside those of the backup."""
    sources = {name for one in likeness(climb).disks for name in one.sources}
    found = beside(climb.xml, sources)
    text = f"not in the backup: {', '.join(found)}"
    return (Rung(name=DISKS, passed=False, seconds=0.0, detail=text),) if found else ()


def _evidence(climb: Climb) -> str:
    """Return where the verdict is kept, without an ending."""
    return f"{PROOFS_DIR}/{climb.entry.identity}/{climb.entry.moment}"


def _judged(climb: Climb, rung: Rung) -> Rung:
    """Return a rung with what its output means."""
    said = climb.ladder.said
    if rung.name == PARTITIONS and rung.passed and not filesystems(said.get(PARTITIONS, "")):
        return replace(rung, passed=False, detail="no filesystem was found on its disks")
    if rung.name == MOUNTS and rung.passed:
        detail = missing_mounts(said.get(FILESYSTEMS, ""), said.get(MOUNTS, ""))
        return replace(rung, passed=not detail, detail=detail)
    return rung


def _prepared(climb: Climb) -> tuple[Action, ...]:
    extent = climb.scene.group.extent if climb.scene.group is not None else Size(1)
    parts = climb.parts
    overlays = (
        make_overlay(parts, one.disk, overlay_size(one.size, extent)) for one in parts.content.disks
    )
    looks = (command for path in parts.files for command in plain(path))
    return (*overlays, *show(parts.shown, parts.driver), *looks)


def _taken_down(climb: Climb) -> tuple[Command, ...]:
    return take_down(climb.parts.host, climb.parts.vg, climb.guest, climb.overlays)


def _filesystem_rung(climb: Climb) -> Command:
    found = filesystems(climb.ladder.said.get(PARTITIONS, ""))
    return _rung(
        climb, FILESYSTEMS, _guestfish(climb.parts), "check its filesystems",
        limit=int(4 * HOUR), stdin=filesystem_script(found), needs=PARTITIONS,
    )  # fmt: skip


def _overlay(parts: Parts, disk: str) -> Command:
    return Command(
        argv=(
            "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", parts.data(disk),
            parts.overlay(disk),
        ),
        why=f"have disk {disk} read from the backup, and its changes written beside it",
    )  # fmt: skip


def _firmware(climb: Climb) -> tuple[Command, ...]:
    parts = climb.parts
    if not parts.content.nvram:
        return ()
    install = ("install", "--mode=0600", "--", parts.beside(parts.content.nvram), _nvram(climb))
    return (Command(argv=install, why="give it a copy of its firmware's variables"),)


def _nvram(climb: Climb) -> str:
    content = climb.parts.content
    return f"{proof_run_dir(climb.guest)}/nvram.fd" if content.nvram else ""


def _inside(climb: Climb, domain: str) -> tuple[Command, ...]:
    """Return the rungs that the guest itself has to climb."""
    agent = has_agent(climb.xml)
    pattern = ("grep", "-aqsE", "-e", "login:", "--", proof_console(climb.guest))
    # Where its agent answers it is up, and its prompt is there or does not come.
    wait = 20 if agent else climb.patience
    login = _rung(climb, LOGIN, pattern, "wait for a login prompt", needs=START, patience=wait)
    if not agent:
        return (login,)
    ping = agent_argv(domain, '{"execute":"guest-ping"}', 10)
    # An agent whose state lies on the disk goes on as it was at the backup: frozen (qemu-ga(8)).
    thaw = agent_argv(domain, '{"execute":"guest-fsfreeze-thaw"}', 10)
    mounts = agent_argv(domain, '{"execute":"guest-get-fsinfo"}', 10)
    run = (climb.program, "guest-run", f"--limit={_CHECKING}", domain, "--", *climb.check)
    check = _rung(climb, CHECK, run, "run your own check in it", needs=AGENT, limit=_CHECKING + 60)
    return (
        _rung(climb, AGENT, ping, "wait for its agent", needs=START, patience=climb.patience),
        login,
        _rung(climb, "thaw", thaw, "have its agent forget that it was frozen", needs=AGENT),
        _rung(climb, MOUNTS, mounts, "ask what it has mounted", needs=AGENT, patience=60),
        *((check,) if climb.check else ()),
    )


def likeness(climb: Climb) -> Likeness:
    """Return what the guest that is started is made of."""
    parts = climb.parts
    disks = tuple(
        ProofDisk(
            sources=_names(one.source),
            overlay=parts.overlay(one.disk),
            backing=parts.data(one.disk),
        )
        for one in parts.content.disks
    )
    return Likeness(
        guest=climb.guest,
        xml=climb.xml,
        uuid=proof_uuid(parts.host, climb.guest),
        disks=disks,
        memory=climb.memory,
        cpus=climb.scene.facts.cpus,
        bridge=proof_bridge(climb.guest),
        console=proof_console(climb.guest),
        nvram=_nvram(climb),
    )


def _names(source: str) -> tuple[str, ...]:
    """Return the names of a disk in a definition: an LV has two."""
    words = source.removeprefix("/dev/").split("/")
    return aliases(words[0], words[1], "") if len(words) == 2 else (source,)


def _guestfish(parts: Parts) -> tuple[str, ...]:
    disks = (word for one in parts.content.disks for word in ("-a", parts.data(one.disk)))
    return aside(("guestfish", "--ro", "--format=raw", *disks))


def _rung(
    climb: Climb,
    name: str,
    argv: tuple[str, ...],
    why: str,
    *,
    needs: str = "",
    limit: int = 60,
    patience: int = 0,
    stdin: bytes = b"",
) -> Command:
    options = (
        *((f"--needs={needs}",) if needs else ()),
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
    )  # fmt: skip
