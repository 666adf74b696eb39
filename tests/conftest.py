"""Settings of all tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator

import pytest
from hypothesis import settings

# A busy machine must not make a test fail; what is slow is the benchmarks' business.
settings.register_profile("kvmkeep", deadline=None)
settings.load_profile("kvmkeep")

# The schedules of a spec are local time: tests are of one zone, wherever they run.
os.environ["TZ"] = "UTC"
time.tzset()

# What is started in the background or by nohup has these ignored; tests send them to themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_report_header() -> str:
    return "no skipped tests: one that can't run fails"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"it was skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"it was skipped: {report.longrepr}"
    return report
