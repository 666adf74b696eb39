"""A repository is not used if its password or keys are readable by others, or unreadable."""

from __future__ import annotations

from kvmkeep.model.backup_policy import Repository
from kvmkeep.model.facts import Facts
from kvmkeep.model.plan import Refusal


def secret_refusals(facts: Facts, repository: Repository) -> tuple[Refusal, ...]:
    """Return what is wrong with the files that a repository is opened with."""
    subject = f"repository {repository.name}"
    return tuple(
        Refusal(subject=subject, reason=reason, hint=hint, unready=True)
        for file in facts.backups.secrets
        if file.path in repository.secrets
        for reason, hint in file.trouble
    )
