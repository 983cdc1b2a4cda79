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


def pytest_collection_modifyitems(config, items):
    """Leave tests of CUDA kernels out where there is no device: none is needed to pass."""
    marked = [item for item in items if item.get_closest_marker("cuda")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in marked]
