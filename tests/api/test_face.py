"""What `import recsys_lab` offers, what it costs, and the frames of runs and data."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import recsys_lab
from tests.comparison.made_runs import config, two_systems, write_run

HEAVY = ("torch", "polars", "hydra", "numpy", "pyarrow", "omegaconf", "pydantic", "rich")


def test_the_import_loads_nothing_heavy():
    code = (
        "import recsys_lab, sys; print(*(m for m in sys.modules if m.startswith('recsys_lab.')));"
    )
    code += f"print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    assert {*own.split()} == {
        f"recsys_lab.{name}" for name in ("lazy_torchmetrics", "moved", "version")
    }


def test_every_name_is_there_and_no_other():
    assert {*recsys_lab._MODULES, "__version__"} == set(recsys_lab.__all__)
    for name in recsys_lab.__all__:
        assert getattr(recsys_lab, name) is not None
        assert name in dir(recsys_lab)
    with pytest.raises(AttributeError, match="has no attribute 'laod'"):
        recsys_lab.laod  # noqa: B018


class TestFindRuns:
    def test_a_row_each_with_what_differs(self, tmp_path):
        two_systems(tmp_path, users=40, seeds=2)
        write_run(tmp_path / "wide", {"ndcg@10": np.ones(4)}, config=config(model__hidden_dim=128))
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad/run.json").write_text("{")
        found = recsys_lab.find_runs(tmp_path)
        assert found["path"].str.replace(f"{tmp_path}/", "").to_list() == [
            "bad", "pop/0", "pop/1", "sas/0", "sas/1", "wide"
        ]  # fmt: skip
        rows = {row["path"].removeprefix(f"{tmp_path}/"): row for row in found.to_dicts()}
        assert rows["bad"]["status"] == "unreadable"
        assert rows["wide"]["model.hidden_dim"] == 128
        assert rows["sas/0"]["model.hidden_dim"] == 64
        assert rows["pop/0"]["model.hidden_dim"] is None
        assert rows["wide"]["test/ndcg@10"] == 1.0
        assert "recipe.monitor" not in found.columns  # the same in all
        assert {"model", "seed"} < set(found.columns)

    def test_no_runs(self, tmp_path):
        assert recsys_lab.find_runs(tmp_path).is_empty()
        with pytest.raises(recsys_lab.UserError, match="no such folder"):
            recsys_lab.find_runs(tmp_path / "nothing")


class TestCompare:
    def test_scores_tests_and_cautions(self, tmp_path):
        two_systems(tmp_path)
        found = recsys_lab.compare([tmp_path / "pop", tmp_path / "sas"], permutations=200)
        row = found.scores.filter(metric="ndcg@10", system="SASRec").to_dicts()[0]
        runs = recsys_lab.find_runs(tmp_path)
        means = runs.group_by("model").agg(pl.col("test/ndcg@10").mean())
        mean = dict(means.iter_rows())
        assert row["mean"] == pytest.approx(mean["SASRec"])
        assert row["difference"] == pytest.approx(mean["SASRec"] - mean["Popularity"])
        assert row["p"] < 0.05
        assert all(isinstance(text, str) for text in found.cautions)

    def test_other_protocols_only_by_force(self, tmp_path):
        values = {"ndcg@10": np.linspace(0, 1, 40)}
        write_run(tmp_path / "a", values)
        write_run(tmp_path / "b", values, fields={"exclude_seen": False})
        with pytest.raises(recsys_lab.UserError, match="protocols differ"):
            recsys_lab.compare(tmp_path)
        assert not recsys_lab.compare(tmp_path, force=True).scores["comparable"].any()
        with pytest.raises(recsys_lab.UserError, match="got no runs"):
            recsys_lab.compare([])
        message = r"compare: by: expected one of 'config', 'group', 'name', got 'model' \(str\)"
        with pytest.raises(recsys_lab.UserError, match=message):
            recsys_lab.compare(tmp_path, by="model")
        with pytest.raises(recsys_lab.UserError, match="compare: level: expected a float > 0 and"):
            recsys_lab.compare(tmp_path, level=5)
