"""Shared test settings."""

import os

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """With RECSYS_LAB_NO_SKIPS set, a test that lacks what it needs fails."""
    report = yield
    if report.skipped and os.environ.get("RECSYS_LAB_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which this run forbids: {report.longrepr}"
    return report
