"""Variables from a file: what is read, what is refused, and that no value is told."""

from __future__ import annotations

import os
import subprocess  # noqa: TID251 - the whole program is replaced
import sys
from pathlib import Path

import pytest

from kvmkeep.errors import Unready
from kvmkeep.host.secret_environment import read_variables, rest_place

pytestmark = pytest.mark.machine


def keys(tmp_path: Path, text: str, mode: int = 0o600) -> str:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_lines_are_taken_as_they_are(tmp_path: Path) -> None:
    text = '# of S3\n\nAWS_ACCESS_KEY_ID=me\nAWS_SECRET_ACCESS_KEY="a b"$x=y\n'
    assert read_variables(keys(tmp_path, text)) == {
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": '"a b"$x=y',
    }


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("A=CANARY", 0o640, "is not for its owner alone"),
        ("A=CANARY", 0o604, "is not for its owner alone"),
        ("export A=CANARY", 0o600, "line 1 is not NAME=VALUE"),
        ("A=x\nCANARY", 0o600, "line 2 is not NAME=VALUE"),
        ("A=CANARY\0", 0o600, "line 1 is not NAME=VALUE"),
        ("A=" + "x" * (64 << 10), 0o600, "larger than"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, mode: int, why: str) -> None:
    path = keys(tmp_path, text, mode)
    with pytest.raises(Unready, match=why) as caught:
        read_variables(path)
    assert "CANARY" not in caught.value.message.replace(path, "")


@pytest.mark.parametrize(
    ("url", "variables", "place"),
    [
        ("rest:https://h:8000/b/", {}, "rest:https://h:8000/b/"),
        ("rest:https://me@h/b/", {}, "rest:https://me@h/b/"),
        ("rest:http:h", {"RESTIC_REST_PASSWORD": "x"}, "rest:http:h"),
        (
            "rest:https://[::1]:8000/b@c/",
            {"RESTIC_REST_USERNAME": "me", "RESTIC_REST_PASSWORD": "x"},
            "rest:https://me:x@[::1]:8000/b@c/",
        ),
        (
            "rest:https://h",
            {"RESTIC_REST_USERNAME": "a:b", "RESTIC_REST_PASSWORD": "c@d/e%f g"},
            "rest:https://a%3Ab:c%40d%2Fe%25f%20g@h",
        ),
        (
            "rest:https://me@h/",
            {"RESTIC_REST_PASSWORD": "\udcff"},
            "rest:https://me:%FF@h/",
        ),
    ],
)
def test_who_logs_in_to_a_rest_server(url: str, variables: dict[str, str], place: str) -> None:
    assert rest_place(url, variables) == place


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Unready, match="can't be read"):
        read_variables(str(tmp_path / "nothing"))
    tmp_path.chmod(0o700)
    with pytest.raises(Unready, match="is no file"):
        read_variables(str(tmp_path))


def test_the_program_takes_the_place_of_ours(tmp_path: Path) -> None:
    path = keys(tmp_path, "CANARY=s3cret\n")
    words = [
        "with-environment",
        f"--file={path}",
        "--",
        "sh",
        "-c",
        'printf "%s %s" "$CANARY" "$*"',
        "-",
        "--",
        "a",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "kvmkeep", *words],
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "s3cret -- a", "")


def test_the_place_of_a_rest_server_is_in_the_environment_alone(tmp_path: Path) -> None:
    path = keys(tmp_path, "RESTIC_REST_USERNAME=me\nRESTIC_REST_PASSWORD=s3/cret\n")
    words = ["with-environment", f"--file={path}", "--rest=rest:https://h/b/", "--"]
    show = ["sh", "-c", 'tr "\\0" " " < /proc/$$/cmdline; echo "$RESTIC_REPOSITORY"']
    done = subprocess.run(
        [sys.executable, "-m", "kvmkeep", *words, *show],
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1].split()[-1] == "rest:https://me:s3%2Fcret@h/b/"
    assert "s3" not in done.stdout.replace("rest:https://me:s3%2Fcret@h/b/", "")
    assert done.stderr == ""


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "kvmkeep",
            "with-environment",
            "--file=" + keys(tmp_path, "A=b\n"),
            "/no/restic",
        ],
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5
    assert "can't be started" in done.stderr
