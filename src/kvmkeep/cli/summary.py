"""The facts as a short text: what `observe` shows without `--json`; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvmkeep.cli.table import table

if TYPE_CHECKING:
    from kvmkeep.model.facts import Facts


def facts_text(facts: Facts, width: int) -> str:
    """Return what was found, one paragraph for each kind of thing."""
    parts = [
        _host(facts),
        _section(
            ("ARRAY", "LEVEL", "STATE", "MEMBERS"),
            [(a.name, a.level, a.state.value, " ".join(a.members)) for a in facts.arrays],
            width,
        ),
        _section(
            ("GROUP", "SIZE", "FREE", "ON"),
            [(g.name, str(g.size), str(g.free), " ".join(g.pvs)) for g in facts.groups],
            width,
        ),
        _section(
            ("VOLUME", "SIZE", "TAGS"),
            [(v.full_name, str(v.size), " ".join(v.tags) or "-") for v in facts.volumes],
            width,
        ),
        _section(
            ("LINK", "KIND", "UP", "MASTER", "ADDRESSES"),
            [
                (
                    k.name,
                    k.kind or "-",
                    "yes" if k.up else "no",
                    k.master or "-",
                    " ".join(k.addresses) or "-",
                )
                for k in facts.links
            ],
            width,
        ),
        _section(
            ("DOMAIN", "STATE", "AUTOSTART", "OURS"),
            [
                (d.name, d.state.value, "yes" if d.starts else "no", "yes" if d.ours else "no")
                for d in facts.domains
            ],
            width,
        ),
        _section(
            ("MISSING TOOL", "PACKAGE"),
            [(tool.name, tool.package) for tool in facts.tools if not tool.path],
            width,
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _host(facts: Facts) -> str:
    return (
        f"{facts.hostname}: {facts.memory} of memory, {facts.cpus} CPUs, "
        f"libvirt {facts.libvirt or 'not seen'}, observed {facts.time}"
    )


def _section(head: tuple[str, ...], rows: list[tuple[str, ...]], width: int) -> str:
    return table(head, rows, width) if rows else ""
