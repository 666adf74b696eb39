"""The documents say what the program does."""

from __future__ import annotations

import re
import shlex
import subprocess  # noqa: TID251 - runs the renderer beside the man page
import sys
from pathlib import Path

import pytest

from kvmkeep import errors
from kvmkeep.cli.catalog import options, own_options, parsers
from kvmkeep.cli.parser import build
from kvmkeep.cli.verbs import SUBVERBS
from kvmkeep.host.machine_door import MachineDoor
from kvmkeep.model import names
from kvmkeep.model.host_units import UNIT_DIR, UNITS
from kvmkeep.model.journal import KEPT_RUNS
from kvmkeep.model.tweak import OLD_DIR
from kvmkeep.planning.offline.copy_in import COPY_DIR
from kvmkeep.spec.load import load

ROOT = Path(__file__).parents[3]
MAN = (ROOT / "docs/man/kvmkeep.1.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
HEADS = {section.partition("\n")[0]: section for section in MAN.split("\n### ")[1:]}
SECTIONS = {
    # `snapshot` and its like are told of by two words.
    " ".join(head.split()[: 2 if head.split()[0] in SUBVERBS else 1]): text.partition("\n## ")[0]
    for head, text in HEADS.items()
}
LEAVES = tuple(parsers())


@pytest.mark.parametrize("verb", LEAVES)
def test_the_man_page_tells_of_each_verb_and_its_options(verb: str) -> None:
    told = set(re.findall(r"^- .*?(--[a-z-]+)", SECTIONS[verb], re.MULTILINE))
    assert told == set(own_options(parsers()[verb]))


def test_the_man_page_tells_of_no_verb_that_is_not() -> None:
    assert set(SECTIONS) == set(LEAVES)


def _files() -> set[str]:
    """Return the paths that the man page lists; a mere name lies beside the first of its line."""
    terms = re.findall(r"^- (`/.*?`): ", MAN.partition("## FILES")[2], re.MULTILINE)
    lines = [re.findall(r"`([^`]+)`", term) for term in terms]
    return {str(Path(line[0]).parent / name) for line in lines for name in line}


OWN = {
    *(value for word, value in vars(names).items() if word.isupper() and str(value)[0] == "/"),
    *(f"{UNIT_DIR}/{unit}" for unit in UNITS), OLD_DIR, COPY_DIR,
}  # fmt: skip


@pytest.mark.parametrize("path", sorted(OWN - {names.STATE_DIR, names.CONSOLE_DIR}))
def test_the_man_page_tells_where_a_file_of_ours_lies(path: str) -> None:
    assert [one for one in _files() if f"{path}/".startswith(f"{one}/")]


def test_the_man_page_tells_of_no_file_that_is_not() -> None:
    places = (names.STATE_DIR, names.RUN_DIR, names.CACHE_DIR, f"{UNIT_DIR}/")
    ours = {path for path in _files() if path.startswith(places)}
    # borg's own directories, and what carries a name that is not fixed.
    free = {f"{names.STATE_DIR}/borg", f"{names.JOURNAL_DIR}/bug-TIME.txt"}
    assert ours - free - OWN == set()


def test_the_man_page_tells_how_many_runs_are_kept() -> None:
    assert f"the last {KEPT_RUNS} runs" in MAN.partition("## FILES")[2]


def test_the_man_page_tells_of_the_global_options() -> None:
    part = MAN.partition("## OPTIONS")[2].partition("## VERBS")[0]
    told = set(re.findall(r"^- .*?(--[a-z-]+)", part, re.MULTILINE))
    assert told == set(options(build()))


def _codes(markdown: str) -> set[int]:
    return {int(code) for code in re.findall(r"^\| (\d+) \|", markdown, re.MULTILINE)}


@pytest.mark.parametrize("text", [MAN, README])
def test_each_exit_code_is_documented(text: str) -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    codes = {c.exit_code for c in classes if issubclass(c, errors.KvmkeepError)}
    assert {0, 1, errors.NEEDS_ATTENTION, *codes} <= _codes(text)


def test_each_exit_code_has_its_paragraph_of_trouble() -> None:
    text = (ROOT / "docs/how-to/troubleshooting.md").read_text("utf-8")
    told = {int(code) for code in re.findall(r"^## (\d+)", text, re.MULTILINE)}
    assert told == _codes(MAN) - {0}


@pytest.mark.parametrize(
    "file", ["docs/man/kvmkeep.1.md", "README.md", "docs/how-to/troubleshooting.md"]
)
def test_the_code_of_a_stop_stands_for_a_no_as_well(file: str) -> None:
    text = (ROOT / file).read_text("utf-8")
    (told,) = re.findall(r"^(?:\| 130 \||## 130: )(.*(?:\n\n.*)?)", text, re.MULTILINE)
    assert "answered no" in told
    assert "run it again" in told.lower()


def test_the_man_page_was_rendered_from_its_source() -> None:
    argv = [sys.executable, str(ROOT / "docs/man/render.py")]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode() == (ROOT / "docs/man/kvmkeep.1").read_text("utf-8")


@pytest.mark.parametrize("document", ["README.md", *map(str, Path("docs/how-to").glob("*.md"))])
def test_links_lead_to_files(document: str) -> None:
    file = ROOT / document
    links = re.findall(r"\]\(([^)#:]+)\)", file.read_text("utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []


@pytest.mark.parametrize(
    "line",
    [line.strip() for line in MAN.partition("## EXAMPLES")[2].splitlines() if line[:4] == "    "],
)
def test_the_examples_of_the_man_page_are_lines_that_parse(line: str) -> None:
    words = line.partition(" >")[0].split()
    assert words[0] == "kvmkeep"
    build().parse_args(words[1:])


def write_smallest(directory: Path) -> Path:
    """Write README's smallest spec into a directory."""
    pattern = r"<!-- spec: (\S+) -->\n```yaml\n(.*?)```"
    for name, text in re.findall(pattern, README, re.DOTALL):
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return directory


def test_the_smallest_spec_of_the_readme_loads(tmp_path: Path) -> None:
    from kvmkeep.host.machine_door import MachineDoor  # noqa: PLC0415
    from kvmkeep.spec.load import load  # noqa: PLC0415

    spec = load(str(write_smallest(tmp_path)), MachineDoor())
    assert [guest.name for guest in spec.guests] == ["web"]
    assert [network.bridge for network in spec.networks] == ["virbr1.223"]
    # An image without the agent has to fetch it at its first boot.
    (nic,) = spec.guests[0].nics
    assert nic.gateway
    assert nic.dns


def test_the_way_out_is_told_in_an_order_in_which_nothing_is_refused() -> None:
    (block,) = (block for block in _blocks("leaving.md") if "release" in block)
    verbs = [line.partition("#")[0].strip() for line in block.splitlines()]
    assert verbs == [
        "kvmkeep plan", "kvmkeep trash list", "kvmkeep uninstall-units", "kvmkeep release --all",
    ]  # fmt: skip
    text = (ROOT / "docs/how-to/leaving.md").read_text("utf-8")
    assert f"rm --recursive {names.STATE_DIR} {names.CACHE_DIR}\n" in text
    # Without that, libvirt starts none of the guests that the units have started.
    for document in (README, (ROOT / "docs/design.md").read_text("utf-8")):
        (promise,) = re.findall(r"^.*\bremoved?\b.*notic.*$", document, re.MULTILINE)
        assert "`kvmkeep uninstall-units`" in promise
        assert "how-to/leaving.md" in document


def test_an_upgrade_of_debian_is_told_and_makes_the_directory_anew_before_the_reboot() -> None:
    (after,) = (block for block in _blocks("leaving.md") if "--clear" in block)
    lines = [line.partition("#")[0].strip() for line in after.splitlines()]
    assert lines[:5] == [
        "python3 -m venv --clear --system-site-packages /opt/kvmkeep",
        "/opt/kvmkeep/bin/pip install /path/to/the/checkout",
        "kvmkeep --version", "kvmkeep install-units", "kvmkeep check",
    ]  # fmt: skip
    debian = (ROOT / "docs/how-to/debian12.md").read_text("utf-8")
    assert "python3 -m venv --system-site-packages /opt/kvmkeep\n" in debian
    assert "(leaving.md#upgrade-debian)" in debian


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ("echo 'WARNING: db: x | warning=1'; exit 1", 1, "WARNING: db"),
        ("echo 'OK: one is well | warning=0'", 0, "OK: one"),
        ("echo Traceback >&2; exit 1", 3, "UNKNOWN: kvmkeep does not start"),
    ],
)
def test_the_plugin_of_the_how_to_calls_a_kvmkeep_that_does_not_start_unknown(
    tmp_path: Path, body: str, code: int, told: str
) -> None:
    program = tmp_path / "kvmkeep"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    done = _plugin(tmp_path, program, sudo='test "$1" = -n && shift && exec "$@"')
    assert (done.returncode, done.stdout.decode().startswith(told)) == (code, True)


def test_the_plugin_of_the_how_to_calls_a_sudo_that_refuses_unknown(tmp_path: Path) -> None:
    done = _plugin(
        tmp_path, Path("/bin/true"), sudo="echo sudo: a password is required >&2; exit 1"
    )
    assert done.returncode == 3
    assert b", or sudo refuses; type as " in done.stdout


def _plugin(tmp_path: Path, program: Path, *, sudo: str) -> subprocess.CompletedProcess[bytes]:
    """Run the script of the how-to, as a user of the monitoring does."""
    text = (ROOT / "docs/how-to/monitoring.md").read_text("utf-8")
    script = text.partition("```sh\n")[2].partition("```")[0]
    # Nothing but what the script runs, with that very argument.
    run = re.findall(r"sudo -n (/\S+ check)\)", script)
    assert f"    nagios ALL=(root) NOPASSWD: {run[0]}\n" in text
    script = script.replace("/usr/local/sbin/kvmkeep check", f"{program} check")
    (tmp_path / "sudo").write_text(f"#!/bin/sh\n{sudo}\n")
    (tmp_path / "sudo").chmod(0o755)
    return subprocess.run(
        ["/bin/sh", "-c", script],
        capture_output=True,
        check=False,
        timeout=60,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )


def _blocks(document: str) -> list[str]:
    """Return the indented blocks of a document, without their indentation."""
    text = (ROOT / "docs/how-to" / document).read_text("utf-8")
    found = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", text, re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


def test_the_images_of_the_how_to_load(tmp_path: Path) -> None:
    (block,) = (block for block in _blocks("images.md") if block.startswith("images:"))
    host = (write_smallest(tmp_path) / "host.yaml").read_text().partition("images:")[0]
    (tmp_path / "host.yaml").write_text(host + block + "  debian: {file: /srv/x.raw}\n")
    spec = load(str(tmp_path), MachineDoor())
    assert [image.name for image in spec.images] == [
        "local", "packed", "remote", "signed", "debian",
    ]  # fmt: skip


def test_the_first_guest_of_the_how_to_loads(tmp_path: Path) -> None:
    networks, guest = (
        b for b in _blocks("first-guest.md") if b.startswith(("networks:", "image:"))
    )
    host = (write_smallest(tmp_path) / "host.yaml").read_text().partition("networks:")[0]
    (tmp_path / "host.yaml").write_text(host + networks)
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx0yZyUR7ubVUIBYYtn5V3lQqfvnPVlZgCJyTgjSvWK me"
    (tmp_path / "guests/web.yaml").write_text(guest.replace("ssh-ed25519 AAAA... me@desk", key))
    (guest_made,) = load(str(tmp_path), MachineDoor()).guests
    assert [disk.lv for disk in guest_made.volumes] == ["vm-web", "vm-web-data"]


WITH_COMMANDS = [
    ROOT / "README.md",
    ROOT / "docs/reference-findings.md",
    *sorted((ROOT / "docs/how-to").glob("*.md")),
]


@pytest.mark.parametrize("path", WITH_COMMANDS)
def test_each_command_of_ours_in_a_document_parses(path: Path) -> None:
    pattern = r"`(kvmkeep [^`\n]+)`|^ {4,6}(kvmkeep [^\n]+)$|ExecStart=(kvmkeep[^\n]*)"
    found = re.findall(pattern, path.read_text("utf-8"), re.MULTILINE)
    lines = [one for words in found for one in re.split(r"[;|>#]", "".join(words).rstrip("\\"))]
    ours = [line for line in lines if line.split()[:1] == ["kvmkeep"] and "..." not in line]
    assert ours or path.name == "lab.md"
    assert [wrong for line in ours if (wrong := _mistake(line))] == []


def _mistake(line: str) -> str:
    """Return what is wrong with a command line of ours; a verb may be named without its words."""
    try:
        build().parse_args(shlex.split(line)[1:])
    except errors.UsageError as error:
        named = "arguments are required" in error.message
        return "" if named else f"{line}: {error.message}"
    except SystemExit:  # --help and --version
        return ""
    return ""
