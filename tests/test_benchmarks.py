"""The benchmark scripts still run: at sizes at which their figures mean nothing."""

import json
import sys

import polars as pl
import pytest
from scripts import benchmark_training

from recsys_lab.config.build import component_targets


@pytest.fixture
def options(monkeypatch):
    """Sets the arguments of a script."""
    return lambda *words: monkeypatch.setattr(sys, "argv", ["benchmark", *map(str, words)])


def test_training_beside_a_plain_loop(tmp_path, options):
    events = [(user, (7 * user + 3 * step) % 23, step) for user in range(40) for step in range(8)]
    log = tmp_path / "log.parquet"
    pl.DataFrame(events, ["user_id", "item_id", "position"], orient="row").write_parquet(log)
    file = tmp_path / "figures.json"
    options("--data", log, "--epochs", 2, "--rounds", 1, "--threads", 1, "--json", file)
    benchmark_training.main()
    seconds = json.loads(file.read_text())["seconds"]
    assert {name: len(values) for name, values in seconds.items()} == {
        "lab": 1, "plain": 1, "lab rank": 3, "plain rank": 3
    }  # fmt: skip


def test_configs_composed_by_hydra_alone_can_be_built(tmp_path):
    """Its compose() sets no HydraConfig, which interpolations of a config may need."""
    cfg = benchmark_training.config_of("log.csv", 1, str(tmp_path))
    assert {"model", "loss", "data", "recipe"} <= set(component_targets(cfg))
    assert cfg.debug is None
