"""The TREC files of a run, read back by another implementation."""

import math
from pathlib import Path
from urllib.parse import unquote

import ir_measures
import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from tests.cli.flow import COUNTS, in_shop, record, rewrite, train


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield


def test_ir_measures_finds_the_runs_own_numbers_in_them(capsys):
    """Several targets a user; ids with blanks, and ids that differ in them alone."""
    log = pl.read_csv("log.csv").with_columns(
        pl.col("item_id").replace({"i3": "i 4", "i5": "i%204", "i6": "tab\tand %"})
    )
    log.write_csv("log.csv")
    split = ["split=last_n", "split.test_events=2", "split.validation_events=2"]
    assert train("run_dir=run", *split, base=COUNTS) == 0
    capsys.readouterr()
    assert run_command(["show", "run", "trec=out"]) == 0
    said = capsys.readouterr().out
    assert "3 ids contain whitespace or %, percent-encoded in the files" in said
    qrels = list(ir_measures.read_trec_qrels("out/qrels.trec"))
    lists = list(ir_measures.read_trec_run("out/run.trec"))
    assert len(qrels) == 2 * len({q.query_id for q in qrels})
    found = ir_measures.calc_aggregate([ir_measures.nDCG @ 10, ir_measures.RR @ 10], qrels, lists)
    test = record("run")["test"]
    assert found[ir_measures.nDCG @ 10] == pytest.approx(test["ndcg@10"], abs=1e-6)
    assert found[ir_measures.RR @ 10] == pytest.approx(test["mrr@10"], abs=1e-6)
    rows = pl.read_parquet("run/test_users.parquet")
    first = [unquote(r.doc_id) for r in lists if r.query_id == rows["user_id"][0]]
    assert first == rows["item_ids"][0].to_list()
    line = Path("out/run.trec").read_text().splitlines()[0].split(" ")
    assert line[1] == "Q0"
    assert line[3:] == ["1", str(len(first)), "Popularity"]


def test_by_few_lines_of_our_own_and_none_of_a_run_without_a_test(capsys):
    """One target a user: NDCG@10 is 1 / log2(1 + rank)."""
    assert train("run_dir=run", base=COUNTS) == 0
    assert run_command(["show", "run", "trec=out"]) == 0
    wanted = dict(line.split()[::2] for line in Path("out/qrels.trec").read_text().splitlines())
    gains = dict.fromkeys(wanted, 0.0)
    for line in Path("out/run.trec").read_text().splitlines():
        user, _, item, rank, _, _ = line.split()
        if wanted[user] == item and int(rank) <= 10:
            gains[user] = 1 / math.log2(1 + int(rank))
    mean = sum(gains.values()) / len(gains)
    assert mean == pytest.approx(record("run")["test"]["ndcg@10"], abs=1e-6)
    rewrite("run", {**record("run"), "status": "interrupted"})
    assert run_command(["show", "run", "trec=out"]) == 2
    assert "has no test result, so there is nothing to write" in capsys.readouterr().err


@pytest.mark.parametrize("mean_over", ["users", "lists"])
def test_a_list_is_a_topic_where_users_have_several(capsys, mean_over):
    """Some users have more lists than others, so that the two means differ."""
    split = ["split=global_temporal", "split.target=successive"]
    split += ["split.test_quantile=0.7", "split.validation_quantile=0.5"]
    assert train("run_dir=run", *split, f"evaluation.mean_over={mean_over}", base=COUNTS) == 0
    capsys.readouterr()
    assert run_command(["show", "run", "trec=out"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "a topic is a list, USER.NUMBER (from 1)" in said
    assert "relevance is 1 for every target" in said
    rows = pl.read_parquet("run/test_users.parquet")
    qrels = list(ir_measures.read_trec_qrels("out/qrels.trec"))
    topics = [f"{user}.{number + 1}" for user, number in rows.select("user_id", "list").rows()]
    assert [(q.query_id, q.doc_id) for q in qrels] == list(
        zip(topics, rows["target_id"].to_list(), strict=True)
    )
    lists = list(ir_measures.read_trec_run("out/run.trec"))
    found = [
        (m.query_id.rpartition(".")[0], m.value)
        for m in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, lists)
    ]
    frame = pl.DataFrame(found, ["user", "value"], orient="row")
    over_lists = frame["value"].mean()
    over_users = frame.group_by("user").mean()["value"].mean()
    assert abs(over_lists - over_users) > 1e-4
    wanted = over_lists if mean_over == "lists" else over_users
    assert record("run")["test"]["ndcg@10"] == pytest.approx(wanted, abs=1e-6)
    assert ("the mean over topics is the run's" in said) == (mean_over == "lists")
