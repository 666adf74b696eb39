from __future__ import annotations

import html
import io
import json

import pytest

from kvmkeep.cli.hints import spec_options, with_spec
from kvmkeep.cli.streams import Streams


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("start it: kvmkeep start web", "start it: kvmkeep --spec /srv/spec start web"),
        ("`kvmkeep list` shows them", "`kvmkeep --spec /srv/spec list` shows them"),
        ("kvmkeep snapshot\n    list", "kvmkeep --spec /srv/spec snapshot\n    list"),
        ("wrapped: kvmkeep\n  apply", "wrapped: kvmkeep --spec /srv/spec\n  apply"),
        ("kvmkeep --debug check", "kvmkeep --spec /srv/spec --debug check"),
        (
            "kvmkeep plan, kvmkeep apply web",
            "kvmkeep --spec /srv/spec plan, kvmkeep --spec /srv/spec apply web",
        ),
        ("type: kvmkeep apply --spec ./spec web", ""),
        ("type: kvmkeep --spec spec apply web", ""),
        ("kvmkeep: the plan is refused", ""),
        ("it is done by kvmkeep instead of libvirt", ""),
        ("kvmkeep starts it", ""),
        ("kvmkeep rung blocks -- true", ""),
        ("   $ /usr/bin/kvmkeep start web", ""),
        ("   $ kvmkeep start web", ""),
        ("   ? kvmkeep list", ""),
        ("  # else: $ kvmkeep apply", ""),
        ("/var/lib/kvmkeep list", ""),
    ],
)
def test_a_line_to_be_typed_names_the_spec(text: str, told: str) -> None:
    assert with_spec(text, "/srv/spec") == (told or text)
    assert with_spec(text, "/etc/kvmkeep/") == text


def test_a_directory_is_named_whole_and_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posixpath.os.getcwd", lambda: "/root")
    assert spec_options("my spec") == ("--spec", "/root/my spec")
    assert with_spec("kvmkeep plan", "my spec") == "kvmkeep --spec '/root/my spec' plan"


def test_all_that_is_told_is_told_so() -> None:
    out, err = io.StringIO(), io.StringIO()
    streams = Streams(out, err)
    streams.spec_dir = '/srv/a "b"'
    streams.result("look: kvmkeep list")
    streams.talk("look: kvmkeep list")
    assert out.getvalue() == err.getvalue() == "look: kvmkeep --spec '/srv/a \"b\"' list\n"


def test_json_stays_json() -> None:
    out = io.StringIO()
    streams = Streams(out)
    streams.spec_dir = '/srv/a "b"\\'
    streams.json(json.dumps({"hint": "kvmkeep list"}))
    assert json.loads(out.getvalue()) == {"hint": "kvmkeep --spec '/srv/a \"b\"\\' list"}


def test_what_others_said_stays_as_it_is() -> None:
    out = io.StringIO()
    streams = Streams(out)
    streams.spec_dir = "/srv/spec"
    streams.result("motd: type kvmkeep list", foreign=True)
    streams.json('{"description": "kvmkeep list"}', foreign=True)
    streams.script("kvmkeep list")
    assert "--spec" not in out.getvalue()


def test_a_page_is_one_still() -> None:
    text = with_spec("<p>kvmkeep list</p>", "/srv/<b>", html.escape)
    assert text == "<p>kvmkeep --spec &#x27;/srv/&lt;b&gt;&#x27; list</p>"
