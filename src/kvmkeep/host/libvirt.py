"""libvirt: the only module that imports its library, and only once it is asked something.

The connection is read-only (virConnectOpenReadOnly), so nothing here can change a domain.

A daemon that hangs would hang us in a C function that no signal ends. libvirt's own keepalive
needs an event loop and covers only connections that are already open. So each question can be
given up (host.silent).

Asked for are only things that libvirtd answers by itself: statistics such as the balloon's would
be got from each guest's QEMU, and a single one that is stuck would hold up all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.errors import Unready
from kvmkeep.host.silent import Silent, answer_within
from kvmkeep.model.domain_facts import IO_ERROR, PANICKED, DomainState
from kvmkeep.model.names import LIBVIRT_URI, RUN_URI
from kvmkeep.model.text import masked_lines
from kvmkeep.model.units import Size

if TYPE_CHECKING:
    from types import ModuleType

    import libvirt

T = TypeVar("T")

# virDomainState, in the order of its numbers (libvirt-domain.h).
_STATES = (
    DomainState.NOSTATE,
    DomainState.RUNNING,
    DomainState.BLOCKED,
    DomainState.PAUSED,
    DomainState.SHUTDOWN,
    DomainState.SHUTOFF,
    DomainState.CRASHED,
    DomainState.SUSPENDED,
)
# virDomainRunningReason: VIR_DOMAIN_RUNNING_CRASHED, and of no other follows anything.
_RUNNING = (*[""] * 9, PANICKED)
# virDomainPausedReason, in the order of its numbers; the words are virsh's.
_PAUSED = (
    "", "user", "migrating", "saving", "dumping", IO_ERROR, "watchdog", "from snapshot",
    "shutting down", "creating snapshot", "crashed", "starting up", "post-copy",
    "post-copy failed", "api error",
)  # fmt: skip
# virDomainShutoffReason, likewise.
_OFF = (
    "", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from snapshot",
    "daemon",
)  # fmt: skip
_LARGEST = 1 << 60
_REASONS = {
    DomainState.RUNNING: _RUNNING,
    DomainState.PAUSED: _PAUSED,
    DomainState.SHUTOFF: _OFF,
}
_INACTIVE = {DomainState.SHUTOFF, DomainState.NOSTATE}


class State(Struct, frozen=True, kw_only=True):
    """A domain as `list` shows it. `memory` is the most it may use.

    `why` is the reason of a pause, of its being off, or of its running where its kernel panicked.
    `run` is the number of the QEMU process (-1: none). `autostart` is libvirt's flag; in what
    `Libvirt.states` returns, it also tells of kvmkeep's unit. `saved` when its memory is kept for
    its next start (managedsave).
    """

    name: str
    uuid: str
    state: DomainState
    autostart: bool
    persistent: bool
    vcpus: int
    memory: Size
    why: str = ""
    run: int = -1
    saved: bool = False


class Described(Struct, frozen=True, kw_only=True):
    """A domain with its XML: `xml` is what its next start will use, `live` what it runs with.

    `live` is empty where it does not run.
    """

    state: State
    xml: str
    live: str


class Hypervisor(Struct, frozen=True, kw_only=True):
    """What libvirt tells of the host: its own version, and XML of its capabilities."""

    version: str
    capabilities: str
    memory: Size
    domains: tuple[Described, ...]


class Libvirt:
    """A libvirt at a URI; each question opens a connection and closes it. `limit` in seconds."""

    def __init__(self, uri: str = LIBVIRT_URI, *, limit: float = 30.0) -> None:
        self.uri = uri
        self._limit = limit

    def states(self) -> tuple[State, ...]:
        """Return all domains without their XML; raises Unready."""
        return self._ask(_states)

    def look(self) -> Hypervisor:
        """Return what libvirt knows of the host and of all domains; raises Unready."""
        return self._ask(_look)

    def _ask(self, question: Callable[[libvirt.virConnect, ModuleType], T]) -> T:
        try:
            return answer_within(self._limit, lambda: self._connected(question))
        except Silent:
            raise Unready(
                f"libvirt at {self.uri} did not answer within {self._limit:.0f} s",
                hint="look at: systemctl status libvirtd virtqemud; "
                "journalctl -u libvirtd -u virtqemud",
            ) from None

    def _connected(self, question: Callable[[libvirt.virConnect, ModuleType], T]) -> T:
        try:
            import libvirt as library  # noqa: PLC0415 - 30 to 70 ms that --help need not pay
        except ImportError as error:
            raise Unready(
                "Python's libvirt library is not installed",
                hint="install python3-libvirt; on EL, libvirt-python of libvirt's version by pip",
            ) from error
        # The library prints each error on stderr by itself, unless it has a handler.
        library.registerErrorHandler(_ignore, None)
        try:
            connection = library.openReadOnly(self.uri)
            try:
                return question(connection, library)
            finally:
                connection.close()
        except library.libvirtError as error:
            reason = masked_lines(error.get_error_message() or str(error))
            # Only the socket that writes comes with `enable --now` of it, and virsh uses that one.
            socket = "virtqemud-sock-ro" in reason
            unit = "virtqemud-ro.socket" if socket else "libvirtd or virtqemud"
            raise Unready(
                f"libvirt at {self.uri} can't be asked: {reason[:300]}",
                hint=f"start it (systemctl start {unit}), or run this as root",
            ) from error


def _ignore(_context: object, _error: object) -> None:
    """Leave errors to the exceptions that also tell them."""


def _states(connection: libvirt.virConnect, library: ModuleType) -> tuple[State, ...]:
    return tuple(
        replace(state, autostart=state.autostart or _kept(domain, library))
        for state, domain in _domains(connection, library)
    )


def _kept(domain: libvirt.virDomain, library: ModuleType) -> bool:
    """Whether a domain's definition keeps that it starts with the host (see model.run_mark)."""
    kind, kept = library.VIR_DOMAIN_METADATA_ELEMENT, library.VIR_DOMAIN_AFFECT_CONFIG
    try:
        return 'starts="yes"' in domain.metadata(kind, RUN_URI, kept).replace("'", '"')
    except library.libvirtError:
        return False  # it keeps nothing, or is gone


def _domains(
    connection: libvirt.virConnect, library: ModuleType
) -> list[tuple[State, libvirt.virDomain]]:
    starting = connection.listAllDomains(library.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)
    lasting = connection.listAllDomains(library.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)
    kept = connection.listAllDomains(library.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)
    autostart = {domain.UUIDString() for domain in starting}
    persistent = {domain.UUIDString() for domain in lasting}
    saved = {domain.UUIDString() for domain in kept}
    found: list[tuple[State, libvirt.virDomain]] = []
    for domain in connection.listAllDomains(0):
        try:
            number, maximum, _, vcpus, *_ = domain.info()
            state = _STATES[number] if number < len(_STATES) else DomainState.NOSTATE
            why = _why(domain, _REASONS[state]) if state in _REASONS else ""
        except library.libvirtError:
            continue  # it is gone since it was listed
        uuid = domain.UUIDString()
        one = State(
            name=domain.name(),
            uuid=uuid,
            state=state,
            autostart=uuid in autostart,
            persistent=uuid in persistent,
            vcpus=vcpus,
            # "Without limit" is told as the largest number of KiB there is.
            memory=Size(min(maximum * 1024, _LARGEST)),
            why=why,
            run=domain.ID(),
            saved=uuid in saved,
        )
        found.append((one, domain))
    return sorted(found, key=lambda pair: pair[0].name)


def _why(domain: libvirt.virDomain, words: tuple[str, ...]) -> str:
    """Return why it is in its state; the number may be one that is newer than these tables."""
    number = domain.state()[1]
    return words[number] if 0 <= number < len(words) else ""


def _look(connection: libvirt.virConnect, library: ModuleType) -> Hypervisor:
    described: list[Described] = []
    for state, domain in _domains(connection, library):
        try:
            xml = domain.XMLDesc(library.VIR_DOMAIN_XML_INACTIVE)
            live = "" if state.state in _INACTIVE else domain.XMLDesc(0)
        except library.libvirtError:
            continue  # it is gone since it was listed
        described.append(Described(state=state, xml=xml, live=live))
    number = connection.getLibVersion()
    return Hypervisor(
        version=f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}",
        capabilities=connection.getCapabilities(),
        # virNodeInfo tells KiB; the Python binding turns them into MiB.
        memory=Size(int(connection.getInfo()[1]) << 20),
        domains=tuple(described),
    )
