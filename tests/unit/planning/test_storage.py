from __future__ import annotations

import pytest
from fakes.host import CLOUD, FakeHost, FakeImage
from msgspec.structs import replace

from kvmkeep.model.command import Command, Progress
from kvmkeep.model.names import STATE_FILLING, lv_tags
from kvmkeep.model.plan import Plan, Step
from kvmkeep.model.spec import Format
from kvmkeep.model.units import GuestName, Label
from kvmkeep.planning.plan import make_plan
from tests.unit.planning.build import GIB, IMAGE, guest, spec
from tests.unit.planning.rounds import StepError, carry_out, reach

EXTENT = 4 << 20


def fill_step(size: int = 2 * GIB, **image: object) -> Step:
    host = FakeHost()
    one = replace(IMAGE, **image)
    host.add_image(one.source, FakeImage(one.format, size, CLOUD))
    return next(s for s in planned(host, image=one).steps if s.what.startswith("write image"))


def planned(host: FakeHost, image: object = IMAGE) -> Plan:
    wanted = spec(guest(), images=(image,))
    return make_plan(wanted, host.facts(wanted))


def commands(step: Step, program: str) -> list[Command]:
    actions = (a for a in step.actions if isinstance(a, Command))
    return [action for action in actions if action.argv[0] == program]


@pytest.mark.parametrize(
    ("size", "begin"),
    [
        (2 * GIB, 2 * GIB),
        (2 * GIB + 1, 2 * GIB),
        (2 * GIB + 512, 2 * GIB),
        (2 * GIB + 4096, 2 * GIB + 4096),
        (4 * GIB - 1, 4 * GIB - 4096),
    ],
)
def test_rest_of_the_lv_is_zeroed_from_a_block_that_the_image_then_overwrites(
    size: int, begin: int
) -> None:
    step = fill_step(size)
    (zero,) = commands(step, "blkdiscard")
    assert zero.argv[1:6] == ("--zeroout", "--offset", str(begin), "--length", str(4 * GIB - begin))
    (convert,) = commands(step, "qemu-img")
    assert step.actions.index(zero) < step.actions.index(convert)


def test_image_as_large_as_the_disk_leaves_nothing_to_zero() -> None:
    assert commands(fill_step(4 * GIB), "blkdiscard") == []


def test_image_is_copied_with_explicit_formats_past_the_page_cache() -> None:
    (convert,) = commands(fill_step(format=Format.QCOW2), "qemu-img")
    assert str(convert) == (
        "qemu-img convert -n -p -W -m 16 -t none -T none -f qcow2 -O raw -- "
        "/srv/debian.raw /dev/rl_build/vm-web"
    )
    assert (convert.progress, convert.total_bytes) == (Progress.QEMU_IMG, 2 * GIB)


def test_write_rate_limits_the_copy_and_lengthens_its_time() -> None:
    (slow,) = commands(fill_step(write_rate=10**6), "qemu-img")
    assert slow.argv[slow.argv.index("-r") + 1] == "1000000"
    assert slow.timeout > 2 * GIB / 10**6


def test_source_in_memory_is_read_through_the_cache_that_it_is() -> None:
    (convert,) = commands(fill_step(source="/dev/shm/i.raw"), "qemu-img")
    assert convert.argv[convert.argv.index("-T") + 1] == "writeback"


def test_source_is_compared_before_and_after() -> None:
    step = fill_step()
    names = [a.argv[0] for a in step.actions if isinstance(a, Command)]
    assert names[names.index("qemu-img") - 1] == "stat"
    assert names[names.index("qemu-img") + 1] == "stat"


def test_image_replaced_since_the_plan_stops_the_step() -> None:
    host = FakeHost()
    content = host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    steps = planned(host).steps
    host.put(IMAGE.source, content)
    with pytest.raises(StepError, match="stat"):
        carry_out(host, steps[0])
    assert not [call for call in host.calls if call.argv[0] == "qemu-img"]


def test_interrupted_filling_is_done_again_from_the_beginning() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    tags = lv_tags(GuestName("web"), Label("root"))
    volume = host.lvm.add("vm-web", 4 * GIB, *tags, STATE_FILLING)
    volume.active = False
    wanted = spec(guest())
    reach(host, wanted)
    assert volume.stale == []
    assert not [call for call in host.calls if call.argv[0] == "lvcreate"]


def test_nothing_can_be_said_of_extents_without_the_group() -> None:
    wanted = spec(guest())
    facts = replace(FakeHost().facts(wanted), groups=())
    assert make_plan(wanted, facts).refusals


def test_activated_disks_of_a_guest_that_boots_for_the_first_time() -> None:
    host = FakeHost()
    host.add_image(IMAGE.source, FakeImage("raw", GIB, CLOUD))
    wanted = spec(guest(data=EXTENT))
    host.libvirt.silent_agents.add("web")
    with pytest.raises(StepError, match="agent"):
        reach(host, wanted)
    host.libvirt.domains["web"].live = None
    for volume in host.lvm.volumes.values():
        volume.active = False
    host.libvirt.silent_agents.clear()
    reach(host, wanted)
    assert all(volume.active for volume in host.lvm.volumes.values())
