"""The plan of `backup init`: a repository where there is none.

No run makes one by itself: where a mount is missing, its directory is there and empty.
"""

from __future__ import annotations

from kvmkeep.model.backup import RepositoryFacts, RepositoryState
from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.borg import BORG_HINT
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Noun, Plan, Refusal, Step
from kvmkeep.model.spec import Spec
from kvmkeep.planning import programs
from kvmkeep.planning.repositories.engine import driver
from kvmkeep.planning.repositories.secrets import secret_refusals
from kvmkeep.planning.scene import make_scene

CLOSED = "it is append-only, so nothing is deleted there"
OPENED = (
    "to delete: have the server allow it for a while, write append_only: false into host.yaml, and "
    "type: kvmkeep backup forget --all && kvmkeep backup prune"
)


def plan_init(spec: Spec, facts: Facts, repository: Repository) -> Plan:
    """Plan the repository; one that is there and can be read is left as it is."""
    scene = make_scene(spec, facts, ())
    seen = facts.backups.repository(repository.name)
    if seen is not None and seen.state is RepositoryState.READY:
        return Plan()
    step = Step(
        noun=Noun.STORAGE,
        subject=f"repository {repository.name}",
        what=f"make the repository at {repository.url}",
        why=f"there is none; its password is what {repository.password_file} holds",
        actions=(driver(repository, facts.units.command).init(),),
    )
    refusals = repository_refusals(facts, repository, absent=True)
    return Plan(steps=(step,), refusals=(*programs.missing_tools(scene, (step,)), *refusals))


def absent_hint(repository: str) -> str:
    """Return what to do where nothing lies at a repository's place: a mount may be missing."""
    return f"is something mounted there? To make it: kvmkeep backup init {repository}"


def looked_at(facts: Facts, repository: Repository) -> RepositoryFacts:
    """Return what was seen of a repository; who plans for it has it looked at."""
    seen = facts.backups.repository(repository.name)
    if seen is None:
        raise AssertionError(f"repository {repository.name} was not looked at")
    return seen


def repository_refusals(
    facts: Facts, repository: Repository, *, absent: bool = False
) -> tuple[Refusal, ...]:
    """Return why a repository can't be used; `absent`: it need not be there yet."""
    subject = f"repository {repository.name}"
    if not facts.units.program:
        reason = "the program kvmkeep is not in the PATH of commands"
        hint = "install it in /usr/local/bin or /usr/bin, or link it there"
        return (Refusal(subject=subject, reason=reason, hint=hint, unready=True),)
    secrets = secret_refusals(facts, repository)
    if secrets:
        return secrets
    seen = looked_at(facts, repository)
    match seen.state:
        case RepositoryState.READY:
            return ()
        case RepositoryState.ABSENT:
            if absent:
                return ()
            reason = f"there is nothing at {repository.url}"
            hint = absent_hint(repository.name)
        case RepositoryState.HALF:
            reason = f"it is half made, or damaged: {seen.said}"
            hint = (
                f"if `kvmkeep backup init` was stopped, and no backup was ever stored: delete what "
                f"is at {repository.url}, then: kvmkeep backup init {repository.name}; else leave "
                f"it as it is, and see what {repository.engine} check says"
            )
        case RepositoryState.WRONG_PASSWORD:
            reason = f"the password in {repository.password_file} is not its password"
            hint = "bring the right one back; nobody can read the backups without it"
        case RepositoryState.UNFIT:
            reason, hint = seen.said, BORG_HINT
        case _:
            reason = f"it can't be reached or read: {seen.said}"
            hint = f"look at: kvmkeep backup list --repository {repository.name}"
    return (Refusal(subject=subject, reason=reason, hint=hint, unready=True),)
