"""A dashboard that is served while the tests of a module run, and a browser."""

import threading
from contextlib import contextmanager

import pytest

from recsys_lab.dashboard.server import Dashboard
from tests.dashboard.made import many, of_every_kind
from tests.support.devtools import chromium


@contextmanager
def serving(folder, refresh=0.2):
    """Serve a folder in a thread."""
    dashboard = Dashboard(folder, "127.0.0.1", 0, refresh)
    thread = threading.Thread(target=dashboard.run, daemon=True)
    thread.start()
    try:
        yield dashboard
    finally:
        dashboard.stop()
        thread.join(30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of every kind."""
    return of_every_kind(tmp_path_factory.mktemp("dashboard") / "runs")


@pytest.fixture(scope="session")
def five_hundred(tmp_path_factory):
    """500 runs, to be read only."""
    return many(tmp_path_factory.mktemp("five_hundred") / "runs", 500)


@pytest.fixture(scope="module")
def served(folder):
    """The dashboard of `folder`."""
    with serving(folder) as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A tab of a Chromium that the tests of a module share."""
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page
