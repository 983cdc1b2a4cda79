"""Shared test settings."""

import os
import subprocess
from pathlib import Path

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
    """Put whole commands first, and leave tests of CUDA kernels out where there is no device.

    Files of whole commands take up to minutes: begun last, one of them would keep one process busy
    while the others have nothing left to do.
    """
    items.sort(key=lambda item: not _has_whole_commands(item.path))
    marked = [item for item in items if item.get_closest_marker("cuda")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in marked]


@pytest.fixture(scope="session")
def _quick_start():
    from tests.support import quick_start

    yield quick_start.Popen
    quick_start.stop_server()


@pytest.fixture(scope="module")
def quick_start(_quick_start):
    """``python -m recsys_lab ...`` is forked from a process that has imported the lab.

    Not for tests of what is imported when a command starts, and from where.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", _quick_start)
        yield


def _has_whole_commands(file):
    """Whether it is a file of the command line's room, or of what is above all rooms."""
    parts = file.relative_to(Path(__file__).parent).parts
    return len(parts) == 1 or parts[0] == "cli"
