"""What is generated from the types: the JSON Schema and the reference."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import jsonschema
import pytest
from fakes.spec import load_text

from kvmkeep.errors import SpecError
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import Kind, Mapping, Node, Scalar, Sequence, read_tree
from kvmkeep.spec.reference import reference_text
from kvmkeep.spec.schema import schema, schema_text
from kvmkeep.spec.sources import parse_rate
from tests.unit.spec.texts import BARE, HOST, WEB, changed

DOCS = Path(__file__).parents[3] / "docs"


def value(node: Node) -> object:
    """Return what an editor's YAML 1.2 would take a tree for."""
    match node:
        case Mapping():
            return {key: value(inner) for key, (_, inner) in node.entries.items()}
        case Sequence():
            return [value(item) for item in node.items]
        case Scalar(kind=Kind.TEXT):
            return node.text
        case Scalar(kind=Kind.NULL):
            return None
        case Scalar():
            return json.loads(node.text)
        case _:
            raise AssertionError(node)


def document(text: str) -> object:
    tree = read_tree("f", text, Mistakes())
    assert tree is not None
    return value(tree)


def fits(text: str) -> bool:
    return jsonschema.Draft202012Validator(schema()).is_valid(document(text))


def loads(text: str) -> bool:
    try:
        load_text({"host.yaml": HOST, "guests/web.yaml": text})
    except SpecError:
        return False
    return True


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_files_in_docs_are_up_to_date() -> None:
    assert (DOCS / "kvmkeep.schema.json").read_text() == schema_text()
    assert (DOCS / "reference-spec.md").read_text() == reference_text()


def test_right_files_fit_the_schema() -> None:
    assert fits(HOST)
    assert fits(WEB)
    assert fits(BARE)


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (HOST, "vlan: 223", "vlan: 4095"),
        (HOST, "vlan: 223", "vlan: '223'"),
        (HOST, "vlan: 223", "vlan: "),
        (HOST, "  internal:", "  Internal:"),
        (HOST, "uplink: ens802f1", "uplink: ens802f1ens802f1"),
        (HOST, "storage:", "stroage:"),
        (HOST, "storage: {vg: rl_build}\n", ""),
        (WEB, "memory: 16GiB", "memory: 16"),
        (WEB, "memory: 16GiB", "memory: 16G"),
        (WEB, "vcpus: 4", "vcpus: 0"),
        (WEB, "vcpus: 4\n", "vcpus: 4\nfirst_boot: never\n"),
        (WEB, "network: internal, ", ""),
        (WEB, "sudo: true", "sudo: 'true'"),
    ],
)
def test_what_the_schema_refuses_the_loader_refuses_too(text: str, old: str, new: str) -> None:
    assert not fits(changed(text, old, new))


TIMES = ["1", "600", "86400", "'600'", "1s", "90s", "10min", "10 min", "007min", "24h", "' 1h '"]
NO_TIMES = ["0", "86401", "-5", "'0'", "0min", "10m", "1h30min", "2d", "45sec", "1.5h", "never"]
SIZES = ["1024KiB", "2048GB", "0.5GiB", "01GiB", "128 MiB", "' 1GiB '"]
NO_SIZES = ["0GiB", "0.0MiB", "1G", "GiB", "-1GiB", "'1,5GiB'"]


@pytest.mark.parametrize("text", [*TIMES, *NO_TIMES])
def test_the_schema_takes_the_times_that_the_loader_takes(text: str) -> None:
    wrong = text in NO_TIMES
    for key in ("start_timeout", "stop_timeout"):
        file = changed(WEB, "vcpus: 4\n", f"vcpus: 4\nrun: {{{key}: {text}}}\n")
        assert fits(file) is not wrong
        assert loads(file) is not wrong


@pytest.mark.parametrize("text", [*SIZES, *NO_SIZES])
def test_the_schema_takes_the_sizes_that_the_loader_takes(text: str) -> None:
    wrong = text in NO_SIZES
    file = changed(WEB, "data: 100GiB", f"data: {text}")
    assert fits(file) is not wrong
    assert loads(file) is not wrong


@pytest.mark.parametrize("text", ["50MiB", "50MiB/s", "50 MiB /s", "1.5GB", "1B/s"])
def test_the_schema_takes_the_rates_that_the_loader_takes(text: str) -> None:
    assert parse_rate(text)
    assert re.search(schema()["$defs"]["ImageSection"]["properties"]["write_rate"]["pattern"], text)


def test_no_value_may_be_null() -> None:
    assert "null" not in schema_text()


def test_the_reference_tells_every_key() -> None:
    reference = reference_text()
    told = set(re.findall(r"^\| `(\w+)` \|", reference, re.MULTILINE))
    keys: set[str] = set()
    for definition in schema()["$defs"].values():
        keys |= set(definition.get("properties", {}))
    assert told == keys
    anchors = {
        re.sub(r"[^a-z0-9]", "", line.lower())
        for line in re.findall(r"^## `(.*)`$", reference, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#(\w+)\)", reference)) <= anchors


def test_each_example_of_a_value_can_be_typed() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.* Example: (.*)\. \|$", reference_text(), re.MULTILINE)
    assert len(rows) > 20
    for key, examples in rows:
        for example in examples.strip("`").split("`, `"):
            assert document(f"{key}: {example}\n"), example


def test_the_example_of_the_reference_loads() -> None:
    host, guest = re.findall(r"```yaml\n(.*?)```", reference_text(), re.DOTALL)
    spec = load_text({"host.yaml": host, "guests/influxdb.yaml": guest})
    assert [disk.lv for disk in spec.guests[0].volumes] == ["vm-influxdb", "vm-influxdb-data"]


@pytest.mark.parametrize(
    ("module", "text"),
    [("kvmkeep.spec.schema", schema_text()), ("kvmkeep.spec.reference", reference_text())],
)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules.*:RuntimeWarning")
def test_both_can_be_printed(module: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module(module, run_name="__main__")
    assert capsys.readouterr().out == text
