"""`pytest tests/cases --regenerate` writes what the planner says now; read the difference as code."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write plan.txt and XML anew")
