"""A generative model of one's own: its loss, diagnostics, candidates and codes."""

import re
import sys
from pathlib import Path

import polars as pl
import pytest
from scripts.journeys.how_to import follow

from recsys_lab.cli.main import run_command
from tests.cli.flow import in_shop, record

FEW = ["data=table", "data.path=log.csv", "tracking=none", "recipe.max_epochs=3", "seed=1"]
DIAGNOSED = '''

from recsys_lab.contracts import RankedLists
from recsys_lab.models.ranking import top_k


class Diagnosed(CodeSums):
    """Says of each list how long the history was, and ranks candidates by their number."""

    diagnostics = ("length",)
    users_at_once = 7

    def read_data(self, data):
        assert not list(self.parameters())  # before the weights
        self.events = int(data.training_item_counts().sum())

    def recommend(self, batch, k, exclude):
        assert batch.size <= 7
        lists = super().recommend(batch, k, exclude)
        return RankedLists(lists.items_BK, lists.scores_BK, {"length": batch.offsets.diff()})

    def rank_candidates(self, batch, candidates, k):
        scores_BV = torch.full((batch.size, self.num_items), -torch.inf)
        scores_BV[candidates] = candidates[1].float()
        lists = top_k(scores_BV, k, None, batch.users_B)
        return RankedLists(lists.items_BK, lists.scores_BK, {"length": batch.offsets.diff()})
'''


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "my_models")
    with in_shop(tmp_path, monkeypatch):
        [command] = follow("add-a-generative-model")
        yield [*command, *FEW]
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_models"]:
        del sys.modules[name]


def test_it_trains_by_its_own_loss_and_is_evaluated_as_any_other(command, capsys):
    assert run_command([*command, "run_dir=own"]) == 0
    values = record("own")
    first, *_, last = values["epochs"]
    levels = [f"train/loss_level_{level}" for level in range(3)]
    for epoch in (first, last):
        assert epoch["train/loss"] == pytest.approx(sum(epoch[name] for name in levels))
    assert last["train/loss"] < first["train/loss"]
    assert set(values["test"]) >= {"ndcg@10", "coverage@10"}
    assert run_command(["evaluate", "own"]) == 0
    assert "equal to the run record" in capsys.readouterr().out


def test_a_loss_or_codes_that_do_not_suit_the_model_are_refused_before_work(command, capsys):
    assert run_command([*command, "loss=bce"]) == 2
    message = capsys.readouterr().err
    assert "loss: CodeSums makes its own loss" in message
    command.remove("semantic_ids.codes=8")
    assert run_command([*command, "~semantic_ids"]) == 2
    assert "semantic_ids: missing; CodeSums needs it" in capsys.readouterr().err
    assert run_command(["train", *FEW, "model=sasrec", "semantic_ids=random"]) == 2
    assert "semantic_ids: SASRec does not generate semantic IDs" in capsys.readouterr().err
    assert run_command(["train", *FEW, "~loss"]) == 2
    assert "loss: missing; SASRec needs it" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_diagnostics_users_at_once_and_candidates(command):
    file = Path("my_models/code_sums.py")
    file.write_text(file.read_text() + DIAGNOSED)
    config = Path("conf/model/code_sums.yaml")
    config.write_text(re.sub("CodeSums", "Diagnosed", config.read_text()))
    assert run_command([*command, "run_dir=own", "recipe.validation_users=20"]) == 0
    values = record("own")
    rows = pl.read_parquet("own/test_users.parquet")
    assert rows["user"].n_unique() == 60  # the test ranks all
    assert values["diagnostics"] == {"length": 7.0}  # eight events, the last is the target
    assert [epoch["diagnostics/length"] for epoch in values["epochs"]] == [6.0] * 3
    sampled = ["evaluation=sampled_candidates", "evaluation.num_candidates=4"]
    assert run_command([*command, "run_dir=few", *sampled]) == 0
    lists = pl.read_parquet("few/test_users.parquet")["items"].to_list()
    for items in lists:  # by number, which only `rank_candidates` does
        candidates = [item for item in items if item >= 0]
        assert candidates == sorted(candidates, reverse=True)
        assert len(candidates) == 5
