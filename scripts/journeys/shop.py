"""A shop's first day: from the file of a till to a comparison, and to reasons for one customer.

``init`` proposes a config, which is followed to the letter: prepare, train a small SASRec and
ItemKNN, compare them, explain the recommendations of a customer, write the model card.

    python -m scripts.journeys.shop TILL.csv FOLDER [OVERRIDE ...]

Overrides, such as ``filter.where=price>0``, are added to the preparation and to both trainings.
"""

from __future__ import annotations

import html
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml  # type: ignore[import-untyped]

from .steps import Run, advised, do, in_process_of_its_own, require

SMALL = ("model.hidden_dim=16", "model.feedforward_dim=16", "model.max_length=20",
         "recipe.max_epochs=2")  # fmt: skip
MODELS = {"sasrec": SMALL, "item_knn": ()}
FEW = ("resamples=200", "permutations=200")


def journey(run: Run, till: Path, overrides: Sequence[str] = ()) -> None:
    """Do everything in the current folder.

    Args:
        run: see `steps.Run`.
        till: a CSV with customers, products, times and quantities.
        overrides: of the data.

    Raises:
        SystemExit: a step did not give what it should.
    """
    said = do(run, ["init", str(till)])
    config = _proposal(said)
    log = _purchases_and_returns(till, config["data"])
    prepare = advised(said, "prepare the data and see its card")
    do(run, [*prepare, *overrides])
    folder = _prepared()
    _check_preparation(folder, config, log)
    for model, size in MODELS.items():
        chosen = [f"model={model}", *size, *overrides, "tracking=none", f"run_dir=runs/{model}"]
        do(run, [*advised(said, "train"), *chosen])
    require(_prepared() == folder, "the trainings prepared the data again")
    _check_comparison(do(run, ["compare", "runs", "output=compared", *FEW]))
    user = str(_tested(folder, Path("runs/item_knn")))
    do(run, ["explain", "runs/item_knn", "--user", user, "output=why"])
    _check_reasons(log.filter(pl.col("user") == user))
    do(run, ["show", "runs/item_knn", "card=true"])
    card = _page("runs/item_knn/card.html")
    require("ItemKNN" in card and "ndcg@10" in card, "the model card lacks the model or its result")
    print("The journey is at its end: every step gave what it should.")


def _proposal(said: str) -> dict[str, Any]:
    """The config that ``init`` wrote."""
    [written] = re.findall(r"^written: (.+)$", said, re.MULTILINE)
    config: dict[str, Any] = yaml.safe_load(Path(written).read_text())
    for role in ("user", "item", "timestamp", "quantity"):
        found = config["data"].get(f"{role}_column")
        require(found, f"{written} proposes no column for the {role}; name it: init {role}=COLUMN")
    return config


def _purchases_and_returns(till: Path, data: dict[str, Any]) -> pl.DataFrame:
    """User, item and whether it came back, of the rows with a customer and a product."""
    text = pl.read_csv(till, separator=data.get("separator", ","), infer_schema=False)
    user = pl.col(data["user_column"]).str.replace(r"\.0$", "")
    quantity = pl.col(data["quantity_column"]).str.replace(",", ".").cast(pl.Float64)
    rows = text.select(user=user, item=data["item_column"], returned=quantity < 0)
    return rows.drop_nulls(["user", "item"])


def _prepared() -> Path:
    """The folder of the only prepared dataset."""
    folders = [path.parent for path in Path("prepared").glob("*/manifest.json")]
    require(len(folders) == 1, f"expected one prepared dataset, got {len(folders)}")
    return folders[0]


def _check_preparation(folder: Path, config: dict[str, Any], log: pl.DataFrame) -> None:
    counts = json.loads((folder / "manifest.json").read_text())["counts"]
    dropped = sum(step["dropped"] for step in counts if step["step"] == "returns")
    returned = log["returned"].sum()
    require(dropped == returned, f"{returned} returns in the file, {dropped} dropped")
    fees = set(config.get("filter", {}).get("exclude_items", []))
    items = set(pl.read_parquet(folder / "items.parquet")["item_id"].cast(pl.String))
    require(not fees & items, f"fees are products: {fees & items}")
    require("return (negative quantity)" in _page(folder / "card.html"), "the card hides returns")


def _check_comparison(said: str) -> None:
    compared = json.loads(Path("compared/comparison.json").read_text())
    names = [system["name"] for system in compared["systems"]]
    require(sorted(names) == ["ItemKNN", "SASRec"], f"the systems are {names}")
    require(all(name in said for name in names), "the printed table lacks a system")
    for system in compared["systems"]:
        interval = system["scores"]["ndcg@10"]["interval"]
        is_one = interval["low"] < interval["value"] < interval["high"]
        require(is_one, f"{system['name']}: ndcg@10 has no interval: {interval}")
    report = _page("compared/report.html")
    require(all(name in report for name in names), "compared/report.html lacks a system")


def _tested(folder: Path, run: Path) -> Any:
    """The customer with a test result who has bought the least."""
    tested = pl.read_parquet(run / "test_users.parquet")["user"].to_numpy()
    events_U = np.diff(np.load(folder / "offsets.npy"))
    user = tested[events_U[tested].argmin()]
    return pl.read_parquet(folder / "users.parquet")["user_id"][int(user)]


def _check_reasons(rows: pl.DataFrame) -> None:
    """The page names products that this customer has bought, and none that they have not."""
    bought = set(rows.filter(~pl.col("returned"))["item"])
    read = set(json.loads(Path("why/explanation.json").read_text())["history"])
    require(read and read <= bought, f"why/: {read - bought} were not bought by the customer")
    page = _page("why/explanation.html")
    missing = [item for item in read if item not in page]
    require(not missing, f"why/explanation.html does not name {missing}")


def _page(file: str | Path) -> str:
    """The text of a page."""
    require(Path(file).is_file(), f"there is no page {file}")
    return html.unescape(Path(file).read_text())


if __name__ == "__main__":
    source, output = Path(sys.argv[1]).absolute(), Path(sys.argv[2])
    output.mkdir(parents=True)
    os.chdir(output)
    journey(in_process_of_its_own, source, sys.argv[3:])
