"""Runs that differ in protocol, data, metrics or users, and damaged ones."""

import shutil

import numpy as np
import polars as pl
import pytest

from recsys_lab.config import UserError
from tests.comparison.made_runs import FIELDS, config, results, two_systems, write_run
from tests.comparison.test_compare import judged


def test_forced_protocols_are_systems_of_their_own(tmp_path):
    values = {"ndcg@10": results(30, 0)}
    write_run(tmp_path / "a", values)
    write_run(tmp_path / "b", values, fields={"exclude_seen": False})
    found = judged(tmp_path)
    assert not found.is_comparable
    assert [s.name for s in found.systems] == [
        "SASRec exclude_seen=true", "SASRec exclude_seen=false",
    ]  # fmt: skip
    assert found.protocol_differences == {"exclude_seen": ("true", "false")}
    assert found.notes[0].startswith("Not comparable")
    assert len(found.pairs) == 1


def test_forced_data_are_not_tested_user_by_user(tmp_path):
    write_run(tmp_path / "a", {"ndcg@10": results(30, 0)})
    write_run(tmp_path / "b", {"ndcg@10": results(40, 0)}, fields={"data": "d2"})
    found = judged(tmp_path)
    assert (found.pairs, found.slices) == ((), ())
    assert any("so there are no paired tests" in note for note in found.notes)
    assert found.systems[1].scores["ndcg@10"].interval is not None


def test_notes_of_training(tmp_path):
    validation = ({"ndcg@10": 0.9}, {"ndcg@10": 0.1})
    best = {"epoch": 0, "still_improving": True}
    for number, layers in enumerate((1, 2)):
        write_run(
            tmp_path / str(number), {"ndcg@10": results(30, 0) + number},
            config=config(model__num_layers=layers), validation=validation[number],
            best=best, code={"commit": f"commit{number}", "dirty": True},
        )  # fmt: skip
    notes = "\n".join(judged(tmp_path).notes)
    assert "Still improving when training ended" in notes
    assert "rank differently: ndcg@10 of SASRec num_layers=1 is 0.9000 and " in notes
    assert "made with different code (commit0+" in notes
    assert "uncommitted changes" in notes


def test_sampled_candidates_are_named(tmp_path):
    fields = {"candidates": "sampled", "num_candidates": 100}
    write_run(tmp_path / "a", {"ndcg@10": results(30, 0)}, fields=fields)
    assert judged(tmp_path).notes[0].startswith("Candidates are 'sampled', not all items")


def test_runs_without_a_metric_in_common_are_told(tmp_path):
    write_run(tmp_path / "a", {"ndcg@10": results(20, 0)})
    write_run(tmp_path / "b", {"hr@5": results(20, 0)}, config=config(seed=1))
    with pytest.raises(UserError) as refused:
        judged(tmp_path)
    assert str(refused.value) == (
        f"runs: they have no metric in common ({tmp_path}/a: ndcg@10; {tmp_path}/b: hr@5). "
        "Set the same evaluation.metrics and evaluation.ks and train again."
    )


def test_damaged_runs_are_told(tmp_path):
    values = {"ndcg@10": results(30, 0)}
    write_run(tmp_path / "gone", values)
    (tmp_path / "gone/test_users.parquet").unlink()
    with pytest.raises(UserError, match=r"test_users\.parquet is missing, and runs are compared"):
        judged(tmp_path / "gone")
    write_run(tmp_path / "bad", values)
    (tmp_path / "bad/test_users.parquet").write_text("no parquet")
    with pytest.raises(UserError, match=r"test_users.parquet: cannot be read \("):
        judged(tmp_path / "bad")
    write_run(tmp_path / "other", values, rows=pl.DataFrame({"user": [1]}))
    with pytest.raises(UserError, match="the columns items, rank, target are missing"):
        judged(tmp_path / "other")


def test_other_users_under_one_protocol_are_an_error(tmp_path):
    write_run(tmp_path / "a", {"ndcg@10": results(30, 0)})
    write_run(tmp_path / "b", {"ndcg@10": results(31, 0)}, config=config(seed=1))
    with pytest.raises(UserError, match=r"but the users or targets in test_users\.parquet differ"):
        judged(tmp_path)


def test_metrics_that_are_not_there(tmp_path):
    write_run(tmp_path / "a", {"ndcg@10": results(30, 0), "hr@5": results(30, 1)})
    write_run(tmp_path / "b", {"ndcg@10": results(30, 0)}, config=config(seed=1))
    assert "Not in all runs, so left out: hr@5." in judged(tmp_path).notes
    with pytest.raises(UserError, match=r"metric: 'ndcg@1' is not in all runs; did you mean"):
        judged(tmp_path, metric="ndcg@1")
    write_run(tmp_path / "c", {"mrr@3": results(30, 0)}, config=config(seed=2))
    with pytest.raises(UserError, match="they have no metric in common"):
        judged(tmp_path)


def test_the_fields_of_a_run_are_kept_for_the_report(shop):
    found = judged(shop)
    run = found.runs[-1]
    assert run.epochs == ({"epoch": 0, "val/ndcg@10": 0.1, "train/loss": 3.0},)
    assert (run.seconds, run.peak_memory_mebibytes, run.parameters) == (12.5, 300.0, 1000)
    assert (run.system, run.seed, run.best_epoch) == ("SASRec", 2, 0)
    assert found.protocol == FIELDS


def test_a_model_that_ignores_the_seed_needs_one_run(tmp_path):
    """And three runs of it say nothing of the seeds of a single trained run."""
    two_systems(tmp_path / "several", seeds=3)
    shutil.rmtree(tmp_path / "several/pop/1")
    shutil.rmtree(tmp_path / "several/pop/2")
    found = judged(tmp_path / "several")
    assert [system.deterministic for system in found.systems] == [True, False]
    assert found.pair("ndcg@10", "SASRec", "Popularity").test.difference.covers_seeds
    assert any(note.endswith("one run is enough: Popularity.") for note in found.notes)
    assert not any("is assumed to equal" in note for note in found.notes)

    two_systems(tmp_path / "lone", seeds=3)
    shutil.rmtree(tmp_path / "lone/sas/1")
    shutil.rmtree(tmp_path / "lone/sas/2")
    lone = judged(tmp_path / "lone")
    assert not lone.pair("ndcg@10", "SASRec", "Popularity").test.difference.covers_seeds
    assert any("another seed may reverse the result" in note for note in lone.notes)


def test_equal_runs_of_an_unknown_model_are_deterministic(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / f"gru/{seed}", {"ndcg@10": results(50, 7)}, config=config("GRU", seed))
        values = {"ndcg@10": results(50, seed)}
        write_run(tmp_path / f"sas/{seed}", values, config=config("SASRec", seed))
    assert [s.deterministic for s in judged(tmp_path).systems] == [True, False]


def test_one_config_against_itself(tmp_path):
    """Seeds 0, 1, 2 are group a and 2, 3, 4 group b: only with ``by`` a system each."""
    for group, seeds in (("a", (0, 1, 2)), ("b", (2, 3, 4))):
        for seed in seeds:
            values = {"ndcg@10": results(40, seed)}
            write_run(tmp_path / group / str(seed), values, config=config(seed=seed, group=group))
    assert [s.seeds for s in judged(tmp_path).systems] == [(0, 1, 2, 3, 4)]
    found = judged(tmp_path, by="group")
    assert [(s.name, s.seeds) for s in found.systems] == [
        ("SASRec group=a", (0, 1, 2)), ("SASRec group=b", (2, 3, 4)),
    ]  # fmt: skip
    assert found.differing == {"group": ("a", "b")}
    assert found.left_out == ()
    one, other = (
        np.mean([results(40, n).mean() for n in seeds]) for seeds in ((0, 1, 2), (2, 3, 4))
    )
    assert found.pairs[0].test.difference.value == pytest.approx(other - one)
    assert [s.seeds for s in judged(tmp_path, by="name").systems] == [(0, 1, 2, 3, 4)]
