"""Targets that nobody met in training: a slice of the test, and LIGER's lists of them."""

import json
from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command

USERS, ITEMS = 32, 16
COLD = (14, 15)
"""One item of each kind that is bought last, by half of the users."""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Users who buy items of one kind, those of even or those of odd numbers."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for user in range(USERS):
        bought = [(user % 2 + 2 * (user // 2 + place)) % 14 for place in range(5)]
        bought[-1] = COLD[user % 2] if user < USERS // 2 else bought[-1]
        rows += [(f"u{user}", f"i{item}", 100_000 * n + user) for n, item in enumerate(bought)]
    pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row").write_csv("log.csv")
    kinds = [(f"i{item}", ("even", "odd")[item % 2], item / 100) for item in range(ITEMS)]
    pl.DataFrame(kinds, ["item_id", "kind", "size"], orient="row").write_csv("items.csv")


@pytest.mark.usefixtures("shop")
def test_cold_targets_are_a_slice_and_found_by_their_vectors(capsys):
    assert run_command([
        "train", "data=table", "data.path=log.csv", "data.items_path=items.csv",
        "+data.item_features.kind=categorical", "+data.item_features.size=numeric", "model=liger",
        "model.hidden_dim=16", "model.num_layers=1", "model.num_decoder_layers=1",
        "model.feedforward_dim=16", "model.max_length=4", "model.dropout=0", "recipe=default",
        "recipe.learning_rate=1e-2", "recipe.max_epochs=4", "recipe.batch_size=16",
        "semantic_ids.levels=2", "semantic_ids.codes=4", "evaluation.beyond_accuracy=[]",
        "evaluation.ks=[5,10]", "evaluation.max_k=10", "model.candidates=10",
        "decoding.num_beams=10", "tracking=none",
        "run_dir=run",
    ]) == 0  # fmt: skip
    assert "cold" in capsys.readouterr().out
    slices = pl.read_parquet("run/slices.parquet").filter(
        slice="target_popularity", value="cold", metric="hr@5"
    )
    assert slices["targets"].item() == USERS // 2
    assert slices["mean"].item() > 0.5
    assert run_command(["evaluate", "run"]) == 0
    assert "equal to the run record" in capsys.readouterr().out
    assert "semantic_ids" in json.loads(Path("run/run.json").read_text())["identity"]
