"""The plans of `install-units` and `uninstall-units`: who has the guests run with the host.

libvirt's own autostart knows no order and waits for nobody; while both would start a guest, none
would keep it waiting. So the guests of the spec are taken over: what libvirt's flag said is kept
in each domain's metadata, and given back when the units go.
"""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.command import Command, WriteFile
from kvmkeep.model.domain_facts import Domain
from kvmkeep.model.facts import LIBVIRT, Facts
from kvmkeep.model.host_units import (
    ALWAYS,
    BACKUP,
    ENABLED,
    STARTED,
    STOPPED,
    SYSTEMD,
    UNIT_DIR,
    UnitFile,
)
from kvmkeep.model.plan import Note, Noun, Plan, Refusal, Step
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.planning import guards, programs
from kvmkeep.planning.domains.kept_xml import with_kept
from kvmkeep.planning.domains.run_mark import autostart_step, starting_with_host
from kvmkeep.planning.scene import Scene, make_scene
from kvmkeep.planning.units.backup_units import backup_texts
from kvmkeep.planning.units.files import (
    Program,
    given_seconds,
    start_seconds,
    stop_seconds,
    unit_texts,
)

_SUBJECT = "host"
_FORCED = 1800
"""Seconds after which systemd forces a reboot: JobTimeoutSec of its reboot.target."""
_RELOAD = Command(argv=("systemctl", "daemon-reload"), why="reload systemd", timeout=120.0)


def plan_install(spec: Spec, facts: Facts, options: tuple[str, ...] = ()) -> Plan:
    """Plan to have kvmkeep's units start and stop the guests; `options` are kvmkeep's own."""
    scene = make_scene(spec, facts, spec.guests)
    texts = wanted_texts(spec, facts, options)
    unwanted = [one for one in facts.units.files if one.ours and one.name not in texts]
    made = (
        _away(unwanted, why="the spec has nothing for them to do") if unwanted else None,
        _write(scene, texts),
        _enable(scene, texts),
    )
    steps = (
        *(step for step in made if step is not None),
        *(step for one in spec.guests for step in _take(scene, one)),
    )
    refusals = (
        *guards.unseen(scene),
        *programs.missing_tools(scene, steps),
        *_foreign(scene),
        *_no_program(scene),
    )
    return Plan(steps=steps, refusals=refusals, notes=_limits(spec, stop_seconds(spec, facts)))


def wanted_texts(spec: Spec, facts: Facts, options: tuple[str, ...]) -> dict[str, str]:
    """Return the text of each unit that is wanted by its name."""
    program = Program(path=facts.units.program, options=options)
    texts = unit_texts(program, start=start_seconds(spec), stop=stop_seconds(spec, facts))
    return texts | backup_texts(program, spec)


def plan_uninstall(spec: Spec | None, facts: Facts) -> Plan:
    """Plan to have libvirt start the guests again, and to take kvmkeep's units away.

    It goes by the marks, since the spec may be gone; with it, the kept definitions follow.
    """
    scene = None if spec is None else make_scene(spec, facts, spec.guests)
    ours = [file for file in facts.units.files if file.ours]
    given = [step for one in facts.domains if one.ours for step in _give_back(scene, one)]
    gone = _away(ours, why="you asked for it; no guest is started or stopped by that")
    steps = (*given, *((gone,) if ours else ()))
    notes = tuple(
        Note(subject=file.name, text=f"{UNIT_DIR}/{file.name} is not kvmkeep's, and stays")
        for file in facts.units.files
        if not file.ours
    )
    missing = programs.tools_of({tool.name: tool for tool in facts.tools}, steps)
    return Plan(steps=steps, refusals=(*_unseen(spec, facts), *missing), notes=notes)


def _unseen(spec: Spec | None, facts: Facts) -> tuple[Refusal, ...]:
    """Refuse only where that can't be seen which is given back or taken away."""
    needed = (LIBVIRT, "domain ", SYSTEMD, UNIT_DIR, *(() if spec is None else (spec.xml_dir,)))
    return tuple(one for one in guards.holes(facts) if one.subject.startswith(needed))


def unit_notes(spec: Spec, facts: Facts) -> tuple[Note, ...]:
    """Tell where the units that are installed give less time than the spec, or are not all."""
    given, wanted = given_seconds(facts), stop_seconds(spec, facts)
    texts: list[str] = []
    if given is not None and given < wanted:
        texts.append(
            f"its units let the guests take {_minutes(given)} to shut down, and the spec "
            f"{_minutes(wanted)}: kvmkeep install-units"
        )
    lacking = [name for name in ALWAYS if facts.units.file(name) is None]
    if facts.units.take_over and lacking:
        texts.append(f"of its units, {', '.join(lacking)} are missing: kvmkeep install-units")
    return tuple(Note(subject=_SUBJECT, text=text) for text in texts)


def _foreign(scene: Scene) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(
            subject=file.name,
            reason=f"{UNIT_DIR}/{file.name} is there, and kvmkeep did not write it",
            hint="look at it; to have kvmkeep write its own, move it away first",
        )
        for file in scene.facts.units.files
        if not file.ours
    )


def _no_program(scene: Scene) -> tuple[Refusal, ...]:
    if scene.facts.units.program:
        return ()
    reason = "there is no program kvmkeep in the usual places, which the units could start"
    hint = "install it, or link it: ln -s /path/to/kvmkeep /usr/local/bin/kvmkeep"
    return (Refusal(subject=_SUBJECT, reason=reason, hint=hint, unready=True),)


def _write(scene: Scene, texts: dict[str, str]) -> Step | None:
    files = {file.name: file for file in scene.facts.units.files}
    missing = [name for name in texts if name not in files or files[name].text != texts[name]]
    if not missing and not any(file.stale for file in files.values()):
        return None
    writes = tuple(
        WriteFile(
            path=f"{UNIT_DIR}/{name}",
            content=texts[name].encode(),
            why="write the unit",
            mode=0o644,
        )
        for name in missing
    )
    return Step(
        noun=Noun.DOMAINS,
        subject=_SUBJECT,
        what=f"write {', '.join(missing)} to {UNIT_DIR}" if missing else "reload systemd",
        why="systemd has the guests up after a boot, and down before the host goes"
        + (", and backs them up meanwhile" if BACKUP in texts else ""),
        actions=(*writes, _RELOAD),
    )


def _enable(scene: Scene, texts: dict[str, str]) -> Step | None:
    files = {file.name: file for file in scene.facts.units.files}
    begin = [name for name in ENABLED if name in texts]
    work = [name for name in STARTED if name in texts]
    enable = [name for name in begin if name not in files or not files[name].enabled]
    start = [name for name in work if name not in files or not files[name].active]
    if not enable and not start:
        return None
    actions: list[Command] = []
    if enable:
        argv = ("systemctl", "enable", "--", *enable)
        actions.append(Command(argv=argv, why="enable them for the host's boot", timeout=120.0))
    if start:
        argv = ("systemctl", "start", "--", *start)
        why = "have them at work from now on; no guest is started or stopped by that"
        actions.append(Command(argv=argv, why=why, timeout=120.0))
    return Step(
        noun=Noun.DOMAINS,
        subject=_SUBJECT,
        what="enable the units",
        why="they are to begin with the host",
        actions=tuple(actions),
    )


def _take(scene: Scene, guest: Guest) -> tuple[Step, ...]:
    domain = scene.own_domain(guest)
    if domain is None:
        return ()
    if not domain.autostart:
        return with_kept(scene, guest, None)
    commands = starting_with_host(guest, domain, on=True, by_units=True)
    why = "libvirt would start all at once, in no order"
    step = autostart_step(guest, commands, on=True, why=why)
    what = "have it start with the host by kvmkeep instead of libvirt"
    return with_kept(scene, guest, replace(step, what=what))


def _give_back(scene: Scene | None, domain: Domain) -> tuple[Step, ...]:
    step = None
    if domain.run_mark.starts:
        commands = starting_with_host(domain, domain, on=True, by_units=False)
        step = autostart_step(domain, commands, on=True, why="kvmkeep's units go")
        step = replace(step, what="have it start with the host by libvirt again")
    guest = None if scene is None else scene.spec.guest(domain.name)
    if scene is None or guest is None:
        return () if step is None else (step,)
    return with_kept(scene, guest, step)


def _away(ours: list[UnitFile], why: str) -> Step:
    names = [file.name for file in ours]
    enabled = [name for name in ENABLED if name in names]
    actions: list[Command] = []
    if enabled:
        argv = ("systemctl", "disable", "--", *enabled)
        told = "have them not begin with the host any more"
        actions.append(Command(argv=argv, why=told, timeout=120.0))
    active = [name for name in STOPPED if name in names]
    if active:
        argv = ("systemctl", "stop", "--", *active)
        actions.append(Command(argv=argv, why="disable them"))
    paths = [f"{UNIT_DIR}/{name}" for name in names]
    # The unit that shuts guests down is not stopped: that would do it. Without its file, systemd
    # has nothing to run when the host goes down.
    actions += [
        Command(argv=("rm", "--force", "--", *paths), why="take them away"),
        _RELOAD,
    ]
    return Step(
        noun=Noun.DOMAINS,
        subject=_SUBJECT,
        what=f"take away {', '.join(names)}",
        why=why,
        actions=tuple(actions),
    )


def _limits(spec: Spec, stop: int) -> tuple[Note, ...]:
    text = (
        f"when it goes down, its guests ({len(spec.guests)}) have up to {_minutes(stop)} to shut "
        "down: all of their stop_timeout, should they be needed one after the other"
    )
    if stop > _FORCED:
        text += (
            f"; that is more than {_minutes(_FORCED)}, after which systemd forces a reboot "
            "(JobTimeoutSec of reboot.target): lower run.stop_timeout where guests are faster"
        )
    return (Note(subject=_SUBJECT, text=text),)


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{-(-seconds // 60)} min"
