"""What a run cost: its own time and memory, whatever its process did before."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys_lab.cli.main import run_command
from recsys_lab.comparison.results import Run
from recsys_lab.experiment import components
from recsys_lab.experiment import identity as beginning
from recsys_lab.runs.record import RunRecord
from tests.cli.flow import COUNTS, record, train

pytestmark = pytest.mark.usefixtures("shop")


def test_a_run_s_cost_is_its_own(monkeypatch):
    """Two runs in one process: the first prepares the data and takes much memory."""
    load = components.prepare_from

    def slow(cfg):
        ballast = np.ones(400 << 17)  # 400 MiB
        time.sleep(0.5)
        assert ballast.all()
        return load(cfg)

    with monkeypatch.context() as patch:
        patch.setattr(components, "prepare_from", slow)
        assert train("run_dir=large", base=COUNTS) == 0
    assert train("run_dir=small", base=COUNTS) == 0
    large, small = (record(name)["compute"] for name in ("large", "small"))
    assert large["peak_memory_mebibytes"] - small["peak_memory_mebibytes"] > 300
    assert large["prepare_seconds"] > max(0.5, small["prepare_seconds"])
    values = {name: Run.of(RunRecord.load(Path(name)), name) for name in ("large", "small")}
    for name, compute in (("large", large), ("small", small)):
        rest = compute["seconds"] - compute["prepare_seconds"]
        assert values[name].seconds == pytest.approx(rest)


def test_a_run_that_is_killed_after_preparing_counts_it_in_the_whole(monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(components.Components, "attach", killed)
        assert train("run_dir=run", base=COUNTS) == 130
    first = record("run")["compute"]
    assert 0 < first["prepare_seconds"] <= first["seconds"]
    assert run_command(["train", "resume=run"]) == 0
    again = record("run")["compute"]
    assert again["prepare_seconds"] > first["prepare_seconds"]
    assert again["seconds"] - first["seconds"] > again["prepare_seconds"] - first["prepare_seconds"]


def test_the_record_names_the_gpu_where_one_is_used(monkeypatch):
    assert train("run_dir=run", base=COUNTS) == 0
    assert "gpu" not in record("run")["machine"]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    made = RunRecord.load(Path("run"))
    assert beginning.machine_with(made, "cuda") == {**made.values["machine"], "gpu": "NVIDIA H100"}
