"""Mistakes in the form of the files: encoding, YAML, keys and kinds of values."""

from __future__ import annotations

import pytest
from fakes.spec import load_text

from kvmkeep.errors import SpecError
from kvmkeep.model.spec import Place
from kvmkeep.spec.convert import convert
from kvmkeep.spec.document import Section
from kvmkeep.spec.guest_document import GuestFile
from kvmkeep.spec.mistakes import Mistakes
from kvmkeep.spec.nodes import Kind, decode, plain_kind, read_tree
from tests.unit.spec.texts import BARE, HASH, HOST, WEB, changed, mistakes

GUEST_KEYS = (
    "image, vcpus, memory, vcpus_max, memory_max, disks, name, identity, adopted, uuid, hostname, "
    "description, labels, protect, nics, login, run, backup, first_boot, firmware, "
    "user_data"
)
NOT_HERE = "(remove the word that begins with"


def told(text: str) -> list[str]:
    """Return what is said about one guest file."""
    return [
        line.removeprefix("guests/web.yaml:")
        for line in mistakes({"host.yaml": HOST, "guests/web.yaml": text})
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["1:1: the file is empty"]),
        ("# only a comment\n", ["1:1: the file is empty"]),
        ("---\n...\n", ["1:1: the file is empty"]),
        ("~\n", ["1:1: the file is empty"]),
        ("web\n", ["1:1: text stands here, but keys with values is wanted"]),
        ("- web\n", ["1:1: a list stands here, but keys with values is wanted"]),
        ("5\n", ["1:1: a number stands here, but keys with values is wanted"]),
        (BARE + "---\n" + BARE, ["6:1: a second document begins here (one for each file)"]),
        ("# x\n%YAML 1.1\n---\n" + BARE, ["2:1: directives are not used here (remove the % line)"]),
        (BARE + "run:\n\tautostart: true\n",
         ["7:1: a tab can't stand in the indentation (use spaces)"]),
        (BARE + "run:\n  \tautostart: true\n  needs: []\n",
         ["7:3: a tab can't stand in the indentation (use spaces)"]),
        (BARE + "labels: [a\x07]\n", ["6:11: the character '\\x07' can't stand in a spec"]),
        (BARE + "labels: [\u202ea]\n", ["6:10: the character '\\u202e' can't stand in a spec"]),
        (BARE + "labels: [a\u2028b]\n", ["6:11: the character '\\u2028' can't stand in a spec"]),
        (BARE + "vcpus: 2\n", ["6:1: the key 'vcpus' stands here twice (see line 2)"]),
        (BARE + "run: {needs: [], needs: []}\n",
         ["6:18: the key 'needs' stands here twice (see line 6)"]),
        (BARE + "run: &x {}\n", [f"6:6: anchors are not used here {NOT_HERE} '&')"]),
        (BARE + "labels: [&x a, *x]\n",
         [f"6:10: anchors are not used here {NOT_HERE} '&')",
          "6:16: aliases are not used here (write the value again)"]),
        (BARE + "run: {<<: {autostart: true}}\n",
         ["6:7: merge keys are not used here (write the values out)"]),
        (BARE + "description: !!str 5\n", [f"6:14: tags are not used here {NOT_HERE} '!')"]),
        (BARE + "run: !x {}\n", [f"6:6: tags are not used here {NOT_HERE} '!')"]),
        (BARE + "labels: !!set [a]\n", [f"6:9: tags are not used here {NOT_HERE} '!')"]),
        (BARE + "? [a]\n: b\n", ["6:3: a key must be a single word"]),
        (BARE + "*x : b\n", ["6:1: aliases are not used here (write the value again)"]),
        (BARE + 'description: "\\ud800"\n', ["6:17: this is not YAML: found invalid Unicode character escape code "
          "(in single quotes, \\ means nothing special)"]),
        (BARE + 'description: "\\UFFFFFFFF"\n',
         ["6:17: this is not YAML: found invalid Unicode character escape code "
          "(in single quotes, \\ means nothing special)"]),
        (BARE + "user_data: {a: " + "[" * 18 + "]" * 18 + "}\n", []),
        (BARE + "user_data: {a: " + "[" * 5000 + "\n", ["6:34: nested more than 20 levels deep"]),
    ],
)  # fmt: skip
def test_form(text: str, lines: list[str]) -> None:
    if lines:
        assert told(text) == lines
    else:
        # Deep, but not too deep: only the sense of it is wrong.
        assert told(text) == ["6:1: user_data has no effect with first_boot: none (remove it)"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: b: c\n",
         "1:5: this is not YAML: mapping values are not allowed in this context "
         "(a ':' too many, or wrong indentation; quote such text)"),
        ("image: rocky9\nvcpus\nmemory: 1GiB\n",
         "3:1: this is not YAML: could not find expected ':' "
         "(a key without ':', or wrong indentation)"),
        ("a: 'b\n\n", "1:4: this is not YAML: found unexpected end of stream in line 3 "
         "(a quote is not closed)"),
        ("schedule: *-*-* 01:30\n",
         "1:13: this is not YAML: did not find expected alphabetic or numeric character "
         "(put such text in quotes)"),
        ("labels: ['a' 'b']\n", "1:14: this is not YAML: did not find expected ',' or ']' "
         "(a bracket or brace is not closed, or a comma is missing)"),
        ("run:\n    ready: agent\n  needs: []\n",
         "3:3: this is not YAML: did not find expected key "
         "(compare the indentation with the lines above)"),
        ("disks: {root: 1GiB\nnics: []\n",
         "1:8: this is not YAML: did not find expected ',' or '}' in line 2 "
         "(a bracket or brace is not closed, or a comma is missing)"),
        ("a: %b\n", "1:4: this is not YAML: found character that cannot start any token "
         "(put such text in quotes)"),
        ('a: "\\q"\n', "1:5: this is not YAML: found unknown escape character "
         "(in single quotes, \\ means nothing special)"),
        ("- a\nb: c\n", "2:1: this is not YAML: did not find expected '-' indicator "
         "(compare the indentation with the lines above)"),
        ("disks: {root:, data: 1GiB}\n", "1:13: this is not YAML: found unexpected ':' "
         "(a space must follow the ':' of a key; quote such text)"),
        ("labels: [a,, b]\n", "1:12: this is not YAML: did not find expected node content "
         "(a value is missing, or a sign too many stands here)"),
        ("%FOO x\n---\na: b\n", "1:5: this is not YAML: found unknown directive name"),
    ],
)  # fmt: skip
def test_syntax(text: str, line: str) -> None:
    assert told(text) == [line]


def test_a_file_with_bad_syntax_hides_no_mistake_of_another_one() -> None:
    lines = mistakes({
        "host.yaml": "host: [\n",
        "guests/b.yaml": "image: 'x\n",
        "guests/a.yaml": changed(BARE, "vcpus: 1", "vcpus: 0"),
    })  # fmt: skip
    assert [line.split(" ")[0] for line in lines] == [
        "guests/a.yaml:2:8:", "guests/b.yaml:1:8:", "host.yaml:2:1:",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"image: a\nname: \xff\n", "f:2:7: this is not UTF-8 text"),
        ("ä: \xe4".encode("latin-1"), "f:1:1: this is not UTF-8 text"),
        ("ä: ".encode() + b"\xe4", "f:1:4: this is not UTF-8 text"),
        ("image: a".encode("utf-16"), "f:1:1: this is not UTF-8 text"),
        (b"#" * (1 << 20) + b"\n", "f:1:1: the file is larger than 1 MiB"),
    ],
)
def test_bytes_that_are_no_text(content: bytes, line: str) -> None:
    found = Mistakes()
    assert decode("f", content, found) is None
    assert len(found) == 1
    with pytest.raises(Exception, match=line):
        found.stop_if_any()


def test_a_byte_order_mark_is_no_mistake() -> None:
    found = Mistakes()
    text = decode("f", b"\xef\xbb\xbfname: web\n", found)
    assert text is not None
    assert read_tree("f", text, found) is not None
    assert len(found) == 0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Kind.NULL), ("~", Kind.NULL), ("null", Kind.NULL),
        ("true", Kind.BOOLEAN), ("FALSE", Kind.BOOLEAN),
        ("0", Kind.NUMBER), ("-1.5e3", Kind.NUMBER), ("0x1F", Kind.NUMBER), (".nan", Kind.NUMBER),
        # What YAML 1.1 would have read as something else.
        ("yes", Kind.TEXT), ("on", Kind.TEXT), ("52:54:00:12:34:56", Kind.TEXT),
        ("1_000", Kind.TEXT), ("2026-01-01", Kind.TEXT), ("0b1", Kind.TEXT), ("tRue", Kind.TEXT),
    ],
)  # fmt: skip
def test_plain_text_is_read_as_yaml_1_2_does(text: str, kind: Kind) -> None:
    assert plain_kind(text) is kind


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("vcpus: 4", "vcpu: 4", ["2:1: unknown key 'vcpu' (did you mean vcpus?)"]),
        ("vcpus: 4\n", "vcpus: 4\nram: 4\n", [f"3:1: unknown key 'ram' (known here: {GUEST_KEYS})"]),
        ("vcpus: 4\n", "", ["1:1: vcpus is missing (such as vcpus: 4)"]),
        ("disks: {root: 20GiB, data: 100GiB}\n", "",
         ['1:1: disks is missing (such as disks: {"root": "20GiB", "data": "100GiB"})']),
        ("vcpus: 4", "vcpus:", ["2:1: vcpus: there is no value (write one, or remove the key)"]),
        ("vcpus: 4", "vcpus: four", ["2:8: vcpus: text stands here, but a whole number is wanted"]),
        ("vcpus: 4", "vcpus: '4'", ["2:8: vcpus: text stands here, but a whole number is wanted"]),
        ("vcpus: 4", "vcpus: 4.0",
         ["2:8: vcpus: not a whole number (plain digits, no zero before them)"]),
        ("vcpus: 4", "vcpus: 04",
         ["2:8: vcpus: not a whole number (plain digits, no zero before them)"]),
        ("vcpus: 4", "vcpus: 0x4",
         ["2:8: vcpus: not a whole number (plain digits, no zero before them)"]),
        ("vcpus: 4", f"vcpus: {'9' * 5000}",
         ["2:8: vcpus: not a whole number (plain digits, no zero before them)"]),
        ("vcpus: 4", "vcpus: 0", ["2:8: vcpus: 0 is out of range (from 1 to 255)"]),
        ("vcpus: 4", "vcpus: 256", ["2:8: vcpus: 256 is out of range (from 1 to 255)"]),
        ("vcpus: 4", "vcpus: 4\nvcpus_max: 256",
         ["3:12: vcpus_max: 256 is out of range (from 1 to 255)"]),
        ("vcpus: 4", "vcpus: -1", ["2:8: vcpus: -1 is out of range (from 1 to 255)"]),
        ("memory: 16GiB", "memory: 16",
         ["3:9: memory: a number stands here, but text is wanted (write a unit, such as 20GiB)"]),
        ("root: 20GiB", "root: 20",
         ["4:15: root: a number stands here, but text or keys with values is wanted "
          "(write a unit, such as 20GiB)"]),
        ("sudo: true", "sudo: yes", ["7:140: sudo: text stands here, but true or false is wanted"]),
        ("image: rocky9", "image: 9",
         ["1:8: image: a number stands here, but text is wanted (put it in quotes)"]),
        ("image: rocky9", "image: true",
         ["1:8: image: true or false stands here, but text is wanted (put it in quotes)"]),
        ("image: rocky9", "image: [rocky9]", ["1:8: image: a list stands here, but text is wanted"]),
        ("vcpus: 4\n", "vcpus: 4\nlabels: a\n",
         ["3:9: labels: text stands here, but a list is wanted (write [a, b])"]),
        ("vcpus: 4\n", "vcpus: 4\nlabels: [a, 5, {b: c}]\n",
         ["3:13: labels: a number stands here, but text is wanted (put it in quotes)",
          "3:16: labels: keys with values stands here, but text is wanted"]),
        ("vcpus: 4\n", "vcpus: 4\nrun: {start_timeout: true}\n",
         ["3:22: start_timeout: true or false stands here, but a whole number or text is wanted "
          "(put it in quotes)"]),
        ("vcpus: 4\n", "vcpus: 4\nfirmware: efi\n",
         ["3:11: firmware: not a known word (one of bios, uefi)"]),
        ("vcpus: 4\n", "vcpus: 4\nfirst_boot: never\n",
         ["3:13: first_boot: not a known word (one of auto, configdrive, nocloud, none)"]),
        ("vcpus: 4\n", "vcpus: 4\nuser_data: [a]\n",
         ["3:12: user_data: a list stands here, but keys with values is wanted"]),
        ("{network: internal,", "{network: , ",
         ["6:6: network: there is no value (write one, or remove the key)"]),
        ("{network: internal, address: 10.5.68.237/24}", "5",
         ["6:5: nics: a number stands here, but keys with values is wanted"]),
    ],
)  # fmt: skip
def test_kinds_of_values(old: str, new: str, lines: list[str]) -> None:
    assert told(changed(WEB, old, new)) == lines


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("{a: yes}", "6:15: a: yes is text here (write true or false, or use quotes)"),
        ("{a: [Off]}", "6:16: a: Off is text here (write true or false, or use quotes)"),
        (
            "{permissions: 0644}",
            "6:25: permissions: this number can be read in two ways (put it in quotes)",
        ),
        ("{a: 1e3}", "6:16: a: this number can be read in two ways (put it in quotes)"),
        ("{a: .inf}", "6:16: a: this number can be read in two ways (put it in quotes)"),
        ("{a: +5}", "6:16: a: this number can be read in two ways (put it in quotes)"),
        (f"{{a: {'9' * 19}}}", "6:16: a: this number can be read in two ways (put it in quotes)"),
        ("{a: !!str 5}", "6:16: tags are not used here (remove the word that begins with '!')"),
    ],
)
def test_user_data_that_cloud_init_would_read_otherwise(value: str, line: str) -> None:
    text = f"{BARE.replace('first_boot: none', 'first_boot: auto')}user_data: {value}\n"
    assert [one.partition(" ")[2] for one in told(text)][-1] == line.partition(" ")[2]


AUTO = BARE.replace("first_boot: none", f"login: {{user: admin, password_hash: {HASH}}}")


@pytest.mark.parametrize(
    ("key", "value", "example"),
    [
        ("runcmd", "touch /x", '["touch /srv/x"]'),
        ("users", '"a,b"', "[{name: bob}]"),
        ("users", "{name: bob}", "[{name: bob}]"),
        ("write_files", "{path: /a}", "[{path: /srv/x, content: hello}]"),
        ("packages", "vim", "[vim]"),
        ("packages", "false", "[vim]"),
    ],
)
def test_user_data_that_is_added_to_ours_is_a_list(key: str, value: str, example: str) -> None:
    column = len("user_data: {") + len(key) + 3
    assert told(f"{AUTO}user_data: {{{key}: {value}}}\n") == [
        f"6:{column}: {key}: a list is wanted, which is added to ours (such as {key}: {example})"
    ]


def test_a_list_of_nothing_adds_nothing_to_ours() -> None:
    for value in ("", "[]"):
        text = f"{AUTO}user_data: {{packages: {value}, runcmd: [[touch, /x]]}}\n"
        spec = load_text({"host.yaml": HOST, "guests/web.yaml": text})
        assert '"runcmd":[["touch","/x"]]' in spec.guests[0].user_data


def test_quotes_make_user_data_clear() -> None:
    lines = told(f"{BARE}user_data: {{a: 'yes', b: \"0644\", c: 'on'}}\n")
    assert lines == ["6:1: user_data has no effect with first_boot: none (remove it)"]


@pytest.mark.parametrize(
    "text",
    [
        f"{BARE}login: {HASH}\n",
        f"{BARE}login: {{user: a, password: {HASH}}}\n",
        f"{BARE}login: {{user: a, password_hash: [{HASH}]}}\n",
        f"{BARE}login: {{user: a, password_hash: {HASH}x}}\n",
        f"{BARE}login: {{user: a, sudo: {HASH}}}\n",
        f"{BARE}login: {{user: a, ssh_keys: {HASH}}}\n",
        f"{BARE}login: {{user: a, ssh_keys: [{HASH}]}}\n",
        f"{BARE}vcpus: {HASH}\n",
        f"{BARE}login: {{user: a, password_hash: &{HASH} b}}\n",
        f"{BARE}login: {{user: a, password_hash: '{HASH}\n",
        f"{BARE}login: {{user: a, password_hash: {HASH}: b: c}}\n",
        f"{BARE}login: {{user: a, password_hash: !{HASH} b}}\n",
        f'{BARE}login: {{user: a, password_hash: "\\q{HASH}"}}\n',
        f"{BARE}first_boot: {HASH}\n",
        f"{BARE}run: {{start_timeout: [{HASH}]}}\n",
    ],
)
def test_no_message_repeats_a_secret(text: str) -> None:
    assert "saltsalt" not in "\n".join(told(text))


def test_a_login_is_not_printed_with_its_hash() -> None:
    found = Mistakes()
    tree = read_tree("f", f"{BARE}login: {{user: a, password_hash: {HASH}}}\n", found)
    source = convert("f", tree, GuestFile, found)
    assert source.place("login") == Place(file="f", line=6, column=8)
    assert HASH not in repr(source.document)
    assert "user='a'" in repr(source.document)


class Plain(Section, frozen=True, kw_only=True):
    count: int


def test_a_missing_key_without_an_example() -> None:
    found = Mistakes()
    convert("f", read_tree("f", "{}\n", found), Plain, found)
    with pytest.raises(SpecError) as caught:
        found.stop_if_any()
    assert caught.value.message == "f:1:1: count is missing (add it)"


def test_many_mistakes_are_counted() -> None:
    lines = mistakes({"host.yaml": HOST, "guests/web.yaml": f"{BARE}labels: [{'A, ' * 60}]\n"})
    assert len(lines) == 51
    assert lines[0].startswith("guests/web.yaml:6:10: labels: 'A' can't be a name here")
    assert lines[-1] == "and 10 more"
