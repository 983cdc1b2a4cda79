"""Whole runs of generative models by the lab: resumed, evaluated again, with candidates."""

from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from tests.cli.flow import in_shop, record, train

TINY = [
    "data=table", "data.path=log.csv", "model=tiger", "model.hidden_dim=8", "model.head_dim=4",
    "model.num_layers=1", "model.num_decoder_layers=1", "model.feedforward_dim=8",
    "model.max_length=4", "semantic_ids=random", "semantic_ids.codes=8", "recipe.batch_size=128",
    "recipe.crop=sliding", "recipe.max_epochs=2",
]  # fmt: skip


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield


def test_a_run_is_trained_longer_and_evaluated_as_one_left_alone(capsys):
    assert train("run_dir=longer", "recipe.max_epochs=1", base=TINY) == 0
    assert run_command(["train", "resume=longer", "recipe.max_epochs=2"]) == 0
    assert train("run_dir=whole", base=TINY) == 0
    for name in ("checkpoints/best.safetensors", "test_users.parquet"):
        assert Path("longer", name).read_bytes() == Path("whole", name).read_bytes(), name
    values = record("whole")
    assert values["epochs"][-1]["train/loss"] == pytest.approx(
        sum(values["epochs"][-1][f"train/loss_level_{level}"] for level in range(3))
    )
    assert set(values["diagnostics"]) == {"invalid_beams", "list_shortfall"}
    # 18 of 25 items are not seen, so that two of 20 ranks are empty; the search missed none.
    assert values["diagnostics"]["list_shortfall"] == 0
    assert run_command(["evaluate", "longer"]) == 0
    assert "equal to the run record" in capsys.readouterr().out


def test_codes_that_were_made_from_no_vectors_are_refused_before_work(capsys):
    liger = ["model=liger", "model.temperature=0.1", "run_dir=run", "decoding.num_beams=30"]
    assert train("model.candidates=40", *liger, base=TINY) == 2
    told = capsys.readouterr().err
    assert "semantic_ids: LIGER reads the item vectors that its codes are made from, and" in told
    assert "RandomCodes has no option 'vectors'; use one that has" in told
    assert "semantic_ids=rq_vae" in told
    assert "model.candidates: got 40, expected at most 30, because of decoding.num_beams" in told
    assert {path.name for path in Path().iterdir()} == {"log.csv"}


def test_a_metric_of_whole_lists_with_fewer_beams_than_items_is_refused_before_codes_are_made(
    capsys,
):
    few = ["evaluation.metrics=[ndcg,auc]", "decoding.num_beams=20", "run_dir=whole"]
    assert train(*few, base=TINY) == 2
    told = capsys.readouterr().err
    assert "decoding.num_beams: got 20, expected at least 25, the number of ranks" in told
    assert not Path("prepared", "semantic_ids").exists()
    enough = ["decoding.num_beams=25", "recipe.max_epochs=1"]  # as the message says
    assert train(*few, *enough, base=TINY) == 0


def test_candidates_and_lists_longer_than_beams(capsys):
    beams = ["decoding.num_beams=5", "run_dir=few", "recipe.max_epochs=1"]
    assert train(*beams, base=TINY) == 2
    told = capsys.readouterr().err
    assert "decoding.num_beams: got 5, expected at least 20, because of evaluation.max_k=20" in told
    assert {path.name for path in Path().iterdir()} == {"log.csv"}  # before any work
    sampled = ["evaluation=sampled_candidates", "evaluation.num_candidates=4"]
    assert train(*sampled, "run_dir=sampled", "recipe.max_epochs=1", base=TINY) == 0
    for items in pl.read_parquet("sampled/test_users.parquet")["items"].to_list():
        assert sum(item >= 0 for item in items) == 5  # the target and four others
