"""Whole runs of generative models: trained, stopped, resumed, evaluated."""

from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.models.generative.generative_decoder import GenerativeDecoder
from recsys_lab.models.generative.rpg import RPG
from tests.cli.flow import ITEMS, SMALL, USERS, in_shop, record

CODES = ["semantic_ids=random", "semantic_ids.codes=4", "tracking=none", "recipe.max_epochs=2"]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("name", "kind", "choices"),
    [
        ("generative_decoder", GenerativeDecoder, ["decoding=beam", "decoding.num_beams=25"]),
        ("rpg", RPG, ["decoding=beam", "decoding.num_beams=25"]),
    ],
)
def test_stopped_within_an_epoch_and_resumed_it_is_the_same_run(
    name, kind, choices, monkeypatch, capsys
):
    command = ["train", *SMALL, f"model={name}", *CODES, *choices]
    assert run_command([*command, "run_dir=whole"]) == 0
    plain, calls = kind.training_loss, []

    def stops(self, batch):
        calls.append(batch)
        if len(calls) == 7:  # in the second epoch, after its checkpoint
            raise KeyboardInterrupt
        return plain(self, batch)

    every = "recipe.checkpoint_every_steps=2"
    with monkeypatch.context() as patched:
        patched.setattr(kind, "training_loss", stops)
        assert run_command([*command, every, "run_dir=stopped"]) == 130
    assert run_command(["train", "resume=stopped"]) == 0
    assert record("stopped")["test"] == record("whole")["test"]
    weights = [Path(f, "checkpoints/best.safetensors").read_bytes() for f in ("whole", "stopped")]
    assert weights[0] == weights[1]
    capsys.readouterr()
    assert run_command(["evaluate", "stopped"]) == 0
    assert "equal to the run record" in capsys.readouterr().out


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("evaluation", ["full_ranking", "sampled_candidates", "candidate_file"])
def test_a_search_with_beams_for_all_items_gives_the_numbers_of_exact_scoring(evaluation):
    """Over all items, and among few candidates, which are ranked as such."""
    given = {"sampled_candidates": ["evaluation.num_candidates=6"], "full_ranking": []}
    rows = [
        (f"u{user}", f"i{(user + place) % ITEMS}") for user in range(USERS) for place in range(10)
    ]
    pl.DataFrame(rows, ["user_id", "item_id"], orient="row").write_csv("few.csv")
    given["candidate_file"] = ["evaluation.path=few.csv"]
    command = ["train", *SMALL, "model=generative_decoder", *CODES, "recipe.max_epochs=1"]
    command += [f"evaluation={evaluation}", *given[evaluation]]
    runs = []
    for decoding in (["decoding=beam", f"decoding.num_beams={ITEMS}"], ["decoding=exact"]):
        name = decoding[0].partition("=")[2]
        assert run_command([*command, *decoding, f"run_dir={name}"]) == 0
        frame = pl.read_parquet(f"{name}/test_users.parquet")
        runs.append((record(name)["validation"], record(name)["test"], frame))
    (*beam, lists), (*exact, exact_lists) = runs
    for found, wanted in zip(beam, exact, strict=True):
        assert found == pytest.approx(wanted, abs=1e-12)
    assert lists["items"].to_list() == exact_lists["items"].to_list()
    longest = max(sum(item >= 0 for item in items) for items in lists["items"].to_list())
    assert (
        longest == {"full_ranking": 18, "sampled_candidates": 7, "candidate_file": 10}[evaluation]
    )
