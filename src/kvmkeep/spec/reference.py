"""The reference of the spec in Markdown, generated from the documents' types.

`python -m kvmkeep.spec.reference` prints it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import Mapping, Scalar, read_tree
from kvmkeep.spec.schema import definitions

Definition = dict[str, Any]
Definitions = dict[str, Definition]

_INTRODUCTION = """\
# The spec

The spec is a directory: `host.yaml` for the server, and a file `guests/NAME.yaml` for each guest.
Its usual place is `/etc/kvmkeep`. Other files in it are ignored; one in `guests` whose name ends
in `.yml` or `.json` is a mistake.

The files are YAML 1.2, in UTF-8, without anchors, aliases, merge keys and tags. `yes` and `on`
are text; write `true`. A key that is not listed here is a mistake.

A size is a number above 0 with a unit: `KiB`, `MiB`, `GiB` and `TiB` count in steps of 1024, `KB`,
`MB`, `GB` and `TB` in steps of 1000. All but limits for each second are whole MiB (`memory` of an
adopted guest: whole KiB), which few numbers of `GB` are.

A time is a whole number of seconds, or one number with `s`, `min` or `h`; from 1 s to a day. So
`90min` is one, `1h30min`, `10m` and `2d` are none.

What is not in the spec is not managed; taking something out of it removes nothing.

This page is generated: `python -m kvmkeep.spec.reference > docs/reference-spec.md`.
"""

_EXAMPLE = """\
## An example

`host.yaml`:

```yaml
host:
  name: build.galaxyproject.eu
  reserve: {memory: 16GiB, storage: 100GiB}
storage: {vg: rl_build}
uplink: ens802f1
networks:
  public: {vlan: 223, cidr: 132.230.223.0/24, gateway: 132.230.223.254, dns: [132.230.200.200]}
  internal: {vlan: 2368, cidr: 10.5.68.0/24}
images:
  rocky9: {file: /srv/images/rocky9.raw.zst}
```

`guests/influxdb.yaml`:

```yaml
image: rocky9
vcpus: 4
memory: 16GiB
disks: {root: 20GiB, data: 100GiB}
nics:
  - {network: internal, address: 10.5.68.237/24}
  - {network: public, address: dhcp}
login:
  user: centos
  password_hash: $5$saltsaltsalt$UzgPdi/4kedfLnSEam19.taIicopA0oiQKNTlgLXEfC
  sudo: true
```
"""

_TITLES = {
    "HostFile": "host.yaml",
    "HostSection": "host",
    "ReserveSection": "host.reserve",
    "StorageSection": "storage",
    "NetworkSection": "networks.NAME",
    "ImageSection": "images.NAME",
    "ChecksumsSection": "images.NAME.checksums",
    "RepositorySection": "repositories.NAME",
    "BackupSection": "backup",
    "KeepSection": "backup.keep",
    "GuestFile": "guests/NAME.yaml",
    "DiskSection": "disks.NAME",
    "NicSection": "nics[]",
    "RouteSection": "nics[].routes[]",
    "LoginSection": "login",
    "RunSection": "run",
}
"""What the reader calls each mapping, in the order of the page."""


_WORDS = {
    "boolean": "`true`, `false`",
    "integer": "whole number",
    "string": "text",
    "object": "keys with values",
}


def reference_text() -> str:
    """Return the reference as the file that is kept in `docs/`."""
    found = definitions()
    parts = [_INTRODUCTION, _EXAMPLE]
    parts += ["\n".join(_section(title, name, found)) for name, title in _TITLES.items()]
    return "\n".join(parts)


def _section(title: str, name: str, found: Definitions) -> Iterator[str]:
    definition = found[name]
    yield f"## `{title}`"
    yield ""
    yield definition["description"]
    yield ""
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    required = definition.get("required", [])
    for key, part in definition["properties"].items():
        default = "required" if key in required else _default(part)
        meaning = part["description"] + _examples(part)
        yield f"| `{key}` | {_value(part, found)} | {default} | {meaning} |"
    yield ""


def _value(part: Definition, found: Definitions) -> str:
    """Return in words what may stand there."""
    if "anyOf" in part:
        return " or ".join(_value(option, found) for option in part["anyOf"])
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        title = _TITLES.get(name, "")
        words = ", ".join(f"`{word}`" for word in found[name].get("enum", []))
        return words or f"[{title}](#{_anchor(title)})"
    match part:
        case {"type": "array", "items": items}:
            return f"list of {_value(items, found)}"
        case {"type": "object", "additionalProperties": inner}:
            return f"by name: {_value(inner, found)}"
        case {"minimum": low, "maximum": high} if "title" not in part:
            return f"{low} to {high}"
        case _:
            return str(part.get("title", _WORDS[part["type"]]))


def _default(part: Definition) -> str:
    """Return a default as it would be written; the meaning tells of those that are derived."""
    if "default" not in part or part["default"] in ("", []):
        return ""
    default = part["default"]
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _examples(part: Definition) -> str:
    shown = [
        example if isinstance(example, str) and _is_plain(example) else json.dumps(example)
        for example in part.get("examples", [])
    ]
    return f" Example: {', '.join(f'`{example}`' for example in shown)}." if shown else ""


def _is_plain(text: str) -> bool:
    """Whether text may be typed without quotes."""
    tree = read_tree("", f"key: {text}\n", Mistakes())
    return isinstance(tree, Mapping) and [
        value.text for _, value in tree.entries.values() if isinstance(value, Scalar)
    ] == [text]


def _anchor(title: str) -> str:
    """Return the anchor that Markdown viewers give a heading."""
    return "".join(character for character in title.lower() if character.isalnum())


if __name__ == "__main__":
    sys.stdout.write(reference_text())
