"""The model card of a trained run, and raw ids beside its results."""

from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.data.prepared import PreparedDataset
from tests.cli.flow import COUNTS, in_shop, record, train


@pytest.fixture(autouse=True)
def _shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield


def test_train_writes_the_card_and_show_names_it_and_writes_it_again(capsys):
    assert train("run_dir=run", base=COUNTS) == 0
    card, page = Path("run/card.md"), Path("run/card.html")
    text = card.read_text()
    found = record("run")
    means = [f"{found[phase]['ndcg@10']:.4f}" for phase in ("validation", "test")]
    assert f"| ndcg@10 | {' | '.join(means)} |" in text
    assert found["leaks"] == PreparedDataset(found["data"]["path"]).manifest["leaks"]
    for leak in found["leaks"]:
        said = f"- Leak check ({leak['severity']}): {leak['explanation']}."
        usual = leak["kind"] == "users_in_two_roles"
        assert (said in text) == (leak["phase"] == "test" and not usual)
    assert {leak["kind"] for leak in found["leaks"]} == {
        "users_in_two_roles",
        "popularity_predicts",
    }
    assert "history_length 5-9 | 60 |" in text
    assert "popularity: head | 10 |" in text
    before = page.read_text()
    page.unlink()
    capsys.readouterr()
    assert run_command(["show", "run"]) == 0
    assert "card.md" in capsys.readouterr().out
    assert not page.exists()
    assert run_command(["show", "run", "--card"]) == 0
    assert "card.html" in capsys.readouterr().out
    assert page.read_text() == before
    card.unlink()
    card.mkdir()
    assert run_command(["show", "run", "--card"]) == 2
    assert "run: the card cannot be written (" in capsys.readouterr().err


def test_results_of_users_have_their_raw_ids():
    assert train("run_dir=run", base=COUNTS) == 0
    rows = pl.read_parquet("run/test_users.parquet")
    assert rows.columns[:3] == ["user", "user_id", "target"]
    items = PreparedDataset(record("run")["data"]["path"]).item_ids()
    found = {row["user_id"]: items[row["target"]] for row in rows.iter_rows(named=True)}
    log = pl.read_csv("log.csv").sort("timestamp").group_by("user_id").last()
    assert found == dict(log.select("user_id", "item_id").iter_rows())
