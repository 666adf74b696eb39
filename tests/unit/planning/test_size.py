"""Planning grows with the number of guests, and with nothing else."""

from __future__ import annotations

import time
import tracemalloc

from fakes.host import CLOUD, FakeHost, FakeImage

from kvmkeep.model.facts import Facts
from kvmkeep.model.spec import Spec
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, nic, spec


def many(count: int) -> tuple[Spec, Facts]:
    host = FakeHost(size=1 << 58)
    host.memory = 1 << 50
    host.add_image(IMAGE.source, FakeImage("raw", 2 * GIB, CLOUD))
    names = [f"g{number}" for number in range(count)]
    wanted = spec(*(guest(name, nics=(nic(name, addresses=()),)) for name in names))
    return wanted, host.facts(wanted)


def seconds(count: int) -> float:
    wanted, facts = many(count)
    best = 1e9
    for _ in range(3):
        began = time.process_time()
        make_plan(wanted, facts)
        best = min(best, time.process_time() - began)
    return best


def test_ten_times_the_guests_take_about_ten_times_as_long() -> None:
    assert seconds(1000) / seconds(100) < 25


def test_thousand_guests_fit_into_memory() -> None:
    wanted, facts = many(1000)
    tracemalloc.start()
    plan = make_plan(wanted, facts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(plan.steps) > 5000
    assert peak < 150 << 20
