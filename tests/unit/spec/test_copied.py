"""The file of a clone: as the guest's own, but for what must differ."""

from __future__ import annotations

import pytest
from fakes.spec import load_text
from hypothesis import given
from hypothesis import strategies as st

from kvmkeep.errors import SpecError
from kvmkeep.spec.copied import Differences, copied_file
from kvmkeep.spec.emit import emit
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import Kind, Mapping, Mark, Node, Scalar, Sequence, read_tree
from tests.unit.spec.texts import HOST, WEB

INTERNAL = {"internal": ("10.5.68.14/24",)}


def copy(text: str, hostname: str = "", **addresses: tuple[str, ...]) -> str:
    differences = Differences(addresses=addresses or INTERNAL, hostname=hostname)
    return copied_file(text.encode(), differences).decode()


def test_all_is_as_it_was_but_what_is_the_guests_own() -> None:
    extra = (
        "name: web\nidentity: old\nhostname: www.example.org\nlabels: [a, b]\n"
        "user_data: {packages: [vim], runcmd: [[sh, -c, \"echo 'a: b' # c\"]], x: 1.50, '2': yes it,"
        ' s: "#!/bin/sh\\necho\\n", empty: [], none: {}}\n'
    )
    text = WEB.replace("address:", "mac: '52:54:00:00:00:01', address:") + extra
    before = load_text({"host.yaml": HOST, "guests/web.yaml": text}).guests[0]
    files = {"host.yaml": HOST, "guests/web.yaml": text, "guests/copy.yaml": copy(text)}
    after = next(one for one in load_text(files).guests if one.name == "copy")
    assert (after.identity, after.hostname) == ("copy", "copy")
    assert after.uuid != before.uuid
    assert after.nics[0].mac != before.nics[0].mac
    assert [str(one) for one in after.nics[0].addresses] == ["10.5.68.14/24"]
    for same in ("image", "vcpus", "memory", "login", "run", "user_data", "labels", "first_boot"):
        assert getattr(after, same) == getattr(before, same), same
    assert [disk.size for disk in after.disks] == [disk.size for disk in before.disks]


def test_a_copy_whose_name_another_one_was_born_with() -> None:
    text = f"{WEB}identity: copy\n"
    own = copied_file(text.encode(), Differences(addresses=INTERNAL, identity="copy-2")).decode()
    files = {"host.yaml": HOST, "guests/web.yaml": text, "guests/copy.yaml": own}
    assert [one.identity for one in load_text(files).guests] == ["copy-2", "copy"]


def test_it_is_written_as_a_person_would() -> None:
    text = (
        "image: rocky9\ndisks: {root: 4GiB, data: {size: 1GiB, lv: archive}}\n"
        "nics: [{network: internal, address: 10.0.0.1/8}]\nrun: {autostart: true}\n"
    )
    assert copy(text, hostname="7") == (
        "image: rocky9\n"
        "disks:\n"
        "  root: 4GiB\n"
        "  data:\n"
        "    size: 1GiB\n"
        "nics:\n"
        "  - network: internal\n"
        "    address: 10.5.68.14/24\n"
        "run:\n"
        "  autostart: true\n"
        'hostname: "7"\n'
    )


def test_addresses_go_to_the_nics_of_their_network() -> None:
    nics = (
        "disks: {root: 1GiB}\nnics: [{network: a, address: [10.0.0.1/8]},"
        " {network: b, address: 10.0.0.2/8},"
        " {network: a, address: 10.0.0.3/8}, {network: c, address: dhcp},"
        " {network: d, address: [dhcp]}, {network: f}]"
    )
    said = copy(nics, a=("1.1.1.1/8", "dhcp"), b=("2.2.2.2/8", "fd00::2/64"), f=("dhcp",))
    assert " ".join(said.split()) == (
        "disks: root: 1GiB nics: - network: a address: 1.1.1.1/8"
        " - network: b address: - 2.2.2.2/8 - fd00::2/64 - network: a address: dhcp"
        " - network: c address: dhcp - network: d address: - dhcp - network: f address: dhcp"
    )
    with pytest.raises(ValueError, match="give each one its address"):
        copy(nics, a=("1.1.1.1/8",), b=("2.2.2.2/8",))
    with pytest.raises(ValueError, match="address in network a is the guest's own"):
        copy(nics, b=("2.2.2.2/8",))
    with pytest.raises(ValueError, match=r"no NIC in a network e \(it has: a, b, c, d, f\)"):
        copy(nics, e=("2.2.2.2/8",))


def test_a_guest_without_nics() -> None:
    with pytest.raises(ValueError, match="it has: none"):
        copy("image: x\ndisks: {root: 1GiB}")
    plain = copied_file(b"disks: {root: 1GiB}", Differences(addresses={}))
    assert plain == b"disks:\n  root: 1GiB\nnics: []\n"


@pytest.mark.parametrize("content", [b"\xff", b"a: ["])
def test_a_file_that_was_changed_meanwhile(content: bytes) -> None:
    with pytest.raises(SpecError):
        copied_file(content, Differences(addresses={}))


MARK = Mark(1, 1)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.one_of(
    texts.map(lambda text: Scalar(MARK, text, Kind.TEXT, plain=False)),
    st.sampled_from([("true", Kind.BOOLEAN), ("1.5", Kind.NUMBER), ("", Kind.NULL), ("a b", Kind.TEXT)])
    .map(lambda one: Scalar(MARK, one[0], one[1], plain=True)),
    st.lists(st.text(" \t#-:'\"ab", max_size=6)).map(
        lambda lines: Scalar(MARK, "".join(f"{one}\n" for one in lines), Kind.TEXT, plain=False)
    ),
)  # fmt: skip


def mappings(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Mapping]:
    entries = st.dictionaries(
        texts | st.just("1"), inner.map(lambda node: (MARK, node)), max_size=3
    )
    return entries.map(lambda found: Mapping(MARK, found))


trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: Sequence(MARK, items)) | mappings(inner)
    ),
    max_leaves=8,
)


def plain(node: Node) -> object:
    if isinstance(node, Mapping):
        return {key: plain(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Scalar)
    return (node.text, node.kind)


@given(mappings(trees))
def test_what_is_written_is_read_as_the_same(tree: Mapping) -> None:
    mistakes = Mistakes()
    read = read_tree("", emit(tree), mistakes)
    mistakes.stop_if_any()
    assert read is not None
    assert plain(read) == plain(tree)
