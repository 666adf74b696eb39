"""A guest's file without needs that are not there."""

from __future__ import annotations

import pytest

from kvmkeep.spec.without_needs import without_needs

SAID = "# Not there when this came back from its backup, so taken out of run.needs: "


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        ("run: {needs: [db]}\nvcpus: 2\n", "run: {needs: []}\nvcpus: 2\n", "db"),
        ("run: {needs: [db, dns]} # both\n", "run: {needs: [dns]} # both\n", "db"),
        ("run: {needs: [dns, db, mail, db]}\n", "run: {needs: [dns]}\n", "db, mail"),
        ("run:\n  needs:\n    - db\n    - dns\n", "run:\n  needs:\n    - dns\n", "db"),
        ("run:\n  needs:\n    - db\n  autostart: true\n", "run:\n  autostart: true\n", "db"),
        ("# one\nrun:\n  needs:\n    - db # of it\nvcpus: 2\n", "# one\nvcpus: 2\n", "db"),
        ('\ufeffrun: {needs: ["db"]}\n', "run: {needs: []}\n", "db"),
    ],
)
def test_what_is_not_there_is_taken_out_and_said(before: str, after: str, missing: str) -> None:
    found = without_needs(before.encode(), {"dns"})
    assert found.content.decode() == f"{SAID}{missing}\n{after}"
    assert ", ".join(found.missing) == missing


@pytest.mark.parametrize(
    "text",
    [
        "run: {needs: [dns, /srv/data]}\n",
        "run: {needs: dns}\n",
        "run: {needs: [{db: 1}]}\n",
        "run: 1\n",
        "vcpus: 2\n",
        "- db\n",
        "run: {needs: [db]\n",
        "\udcff",
        # Written so that no change of one place takes it out.
        "run: {needs: [d\n  b], ready: agent}\n",
        "run: {needs: [dns, d\n  b]}\n",
    ],
)
def test_all_other_files_stay_to_the_byte(text: str) -> None:
    content = text.encode(errors="surrogateescape")
    found = without_needs(content, {"dns"})
    assert found.content == content
    assert found.missing == ()
