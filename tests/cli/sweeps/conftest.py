"""Workers and commands are forked from a process that has imported the lab."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _quickly(quick_start):
    pass
