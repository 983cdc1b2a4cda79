"""The table at the end of a sweep."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from recsys_lab.runs.run_table import print_parts
from recsys_lab.sweeps.results import best_table
from tests.sweeps.test_progress import RATE, WIDTH, trial


@pytest.mark.parametrize("width", [120, 60, 24])
def test_no_cell_is_broken(width):
    """At the width of a page a table, in a narrow terminal a line per value."""
    trials = [trial(0, 8, 0.1), trial(11, 16, 0.25), trial(3, 4, 0.2)]
    study = SimpleNamespace(directions=["maximize"])
    console = Console(file=io.StringIO(), width=width)
    print_parts(best_table(study, trials, [trials[1]], ["val/ndcg@10"], console), console)
    words = console.file.getvalue().split()
    shown = [word.rstrip(",") for word in words]
    assert [word for word in shown if word in ("*11", "0", "3")] == ["*11", "3", "0"]
    assert [word for word in shown if word.startswith("0.")] == ["0.2500", "0.2000", "0.1000"]
    assert [word for word in shown if word.startswith(WIDTH)] == [
        f"{WIDTH}={width}" for width in (16, 4, 8)
    ]
    assert shown.count(f"{RATE}=0.00304") == 3
