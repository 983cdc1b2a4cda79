"""Items that are in the catalogue without an event: who learns of them, and who says so."""

from pathlib import Path

import polars as pl
import pytest

from tests.cli.flow import COUNTS, ITEMS, SMALL, in_shop, record, train

NOTE = "5 of 30 items have no event (filter.catalogue=table), and Popularity reads only item ids"


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        names = [f"i{item}" for item in range(ITEMS + 5)]
        brands = [f"b{item % 3}" for item in range(ITEMS + 5)]
        pl.DataFrame({"item_id": names, "brand": brands}).write_csv("items.csv")
        yield


def test_who_knows_ids_alone_says_so(capsys):
    table = ["data.items_path=items.csv", "filter.catalogue=table"]
    assert train(*table, "run_dir=ids", base=COUNTS) == 0
    assert NOTE in capsys.readouterr().out.replace("\n", " ")
    assert "5 items of the catalogue have no event" in Path("ids/card.md").read_text()
    assert train(*table, "run_dir=known", "evaluation.candidates=known", base=COUNTS) == 0
    brands = ["+data.item_features.brand=categorical", "inputs=side_information",
              "inputs.features=[brand]", "recipe.max_epochs=1"]  # fmt: skip
    assert train(*table, *brands, "run_dir=brands", base=SMALL) == 0
    assert "without having learned them" not in capsys.readouterr().out
    for run in ("ids", "brands"):
        assert record(run)["data"]["num_items"] == ITEMS + 5
        assert record(run)["split"]["items_without_events"] == 5
    lists = pl.read_parquet("known/test_users.parquet")["item_ids"].explode()
    assert not set(lists) & {f"i{ITEMS + item}" for item in range(5)}
