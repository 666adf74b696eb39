"""The JSON Schema of the spec's files, for editors; generated from the documents' types.

`python -m kvmkeep.spec.schema` prints it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from kvmkeep.spec.guest_document import GuestFile
from kvmkeep.spec.host_document import HostFile

_DEFINITIONS = "$defs"


def definitions() -> dict[str, dict[str, Any]]:
    """Return the schema of each mapping of the spec by the name of its class."""
    _, found = msgspec.json.schema_components([HostFile, GuestFile])
    return {name: _without_null(schema) for name, schema in found.items()}


def schema() -> dict[str, Any]:
    """Return one schema for both kinds of files: a host file is known by its key `host`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:kvmkeep:spec:1",
        "title": "kvmkeep's spec: host.yaml and guests/*.yaml",
        "if": {"type": "object", "required": ["host"]},
        "then": {"$ref": f"#/{_DEFINITIONS}/HostFile"},
        "else": {"$ref": f"#/{_DEFINITIONS}/GuestFile"},
        _DEFINITIONS: definitions(),
    }


def schema_text() -> str:
    """Return the schema as the file that is kept in `docs/`."""
    return json.dumps(schema(), indent=2) + "\n"


def _without_null(part: Any) -> Any:  # noqa: ANN401 - any JSON
    """Take out `null`: in a document it stands for a mistake, and no file may hold it.

    Defaults of whole mappings go too: the mapping's own keys tell theirs.
    """
    if isinstance(part, list):
        return [_without_null(item) for item in part]
    if not isinstance(part, dict):
        return part
    result = {key: _without_null(value) for key, value in part.items()}
    if "default" in result and (result["default"] is None or isinstance(result["default"], dict)):
        del result["default"]
    options = [option for option in result.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del result["anyOf"]
        return result | {key: value for key, value in options[0].items() if key not in result}
    if options:
        result["anyOf"] = options
    return result


if __name__ == "__main__":
    sys.stdout.write(schema_text())
