"""The journey of ``scripts/journeys/shop.py`` with a part of a real shop's till."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import yaml
from scripts.journeys.shop import journey

from recsys_lab.cli.main import run_command
from tests.cli.flow import record
from tests.data.conftest import shared

__all__ = ["shared"]

WHERE = "user_id<12450,price>0"


def test_from_a_tills_file_to_the_reasons_for_a_customer(shared, tmp_path, monkeypatch, capsys):
    """The file is as pandas writes it; the script checks each step."""
    monkeypatch.chdir(tmp_path)
    log = pl.read_parquet(shared / "online-retail/online_retail.parquet")
    few = log.filter((pl.col("CustomerID") < 12_500) | pl.col("CustomerID").is_null())
    few = few.filter(pl.col("CustomerID").is_not_null() | (pl.int_range(pl.len()) % 40 == 0))
    few.with_columns(pl.col("InvoiceDate").dt.strftime("%-m/%-d/%Y %-H:%M")).write_csv("till.csv")
    said: list[str] = []

    def run(arguments):
        code = run_command(list(arguments))
        said.append("".join(capsys.readouterr()))
        return code, said[-1]

    journey(run, Path("till.csv"), [f"filter.where={WHERE}", "evaluation.beyond_accuracy=[]"])
    text = Path("conf/experiment/till.yaml").read_text()
    config = yaml.safe_load(text)
    assert config["data"]["user_column"] == "CustomerID"
    assert config["data"]["timestamp_format"] == "%m/%d/%Y %H:%M"
    assert config["data"]["quantity_column"] == "Quantity"
    assert "POSTAGE" in config["filter"]["exclude_items"]
    assert config["split"] == {"unit": "basket"}
    assert "have a negative quantity: returns" in text
    basket = json.loads(Path("why/explanation.json").read_text())["wanted"]
    assert len(basket) > 1
    assert f"actual next items ({len(basket)}): {basket[0].strip()}" in " ".join(said[-2].split())
    assert "loss" not in said[-1]  # which ItemKNN does not use
    [manifest] = Path("prepared").glob("*/manifest.json")
    assert json.loads(manifest.read_text())["settings"]["filter"]["where"] == WHERE
    assert "user_id&lt;12450,price&gt;0" in (manifest.parent / "card.html").read_text()
    users = pl.read_parquet(manifest.parent / "users.parquet")["user_id"]
    assert users.dtype == pl.Int64
    assert users.max() < 12_450
    assert record("runs/sasrec")["protocol"] == record("runs/item_knn")["protocol"]
