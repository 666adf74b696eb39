"""A guest in service, which then is to be another one."""

from __future__ import annotations

from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.plan import Plan
from kvmkeep.model.spec import Guest, Spec
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, network, spec
from tests.unit.planning.rounds import reach

NETWORKS = (network(), network("internal", 2368))


def site(*guests: Guest) -> Spec:
    """Return a spec with two networks."""
    return spec(*guests, networks=NETWORKS)


def serving(**changes: object) -> tuple[FakeHost, Guest]:
    """Return a host with a running guest web."""
    host, web = FakeHost(), guest(**changes)
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    reach(host, site(web))
    host.calls.clear()
    return host, web


def planned(host: FakeHost, web: Guest, **changes: object) -> Plan:
    """Return the plan for the guest; changes are of the domain's facts."""
    facts = host.facts(site(web))
    domains = tuple(replace(domain, **changes) for domain in facts.domains)
    return make_plan(site(web), replace(facts, domains=domains))


def commands(plan: Plan) -> list[str]:
    """Return what is run, without the probes and what keeps the definition."""
    texts = [str(action) for step in plan.steps for action in step.all_actions]
    return [text.removeprefix("virsh ") for text in texts if "--inactive" not in text]


def notes(plan: Plan) -> list[str]:
    return [note.text for note in plan.notes]
