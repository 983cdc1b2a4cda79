"""Diginetica: sessions of a web shop (CIKM Cup 2016, track 2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.base import About, DatasetInfo, PublishedDataset
from recsys_lab.data.sources.published.files import (
    blank_to_null,
    collect_table,
    scan_text,
    sink_log,
    to_float,
    to_int,
)

LOG, PRODUCTS, CATEGORIES = "train-item-views.csv", "products.csv", "product-categories.csv"
HOME = "https://competitions.codalab.org/competitions/11161"

NAMED = DatasetInfo(
    about=About(
        title="DIGINETICA, CIKM Cup 2016 track 2",
        homepage=HOME,
        licence="None is stated; given to the participants of the CIKM Cup 2016 and used for "
        "research since.",
        citation="CIKM Cup 2016 Track 2: Personalized E-Commerce Search Challenge (DIGINETICA). "
        f"{HOME}",
        notes=(
            "A session is a user: two thirds of the rows have no user.",
            "The date has no time of day; timeframe is milliseconds since the session began. So "
            "all sessions of a day are tied, and a split by time cuts between days only.",
            "Rows of the file are not in the order of the session; they are sorted by timeframe.",
            "The usual protocol (SR-GNN): the last 7 days are the test, items with fewer than 5 "
            "views and sessions of one view are removed.",
            "Prices are logarithms to base 2; names are lists of word ids.",
        ),
    ),
    size="1,235,380 views, 310,324 sessions, 122,993 items; 350 MB unpacked",
    needs="dataset-train-diginetica.zip, linked on its homepage",
)


class Diginetica(PublishedDataset):
    """Reads one view of an item as an event; a session is a user."""

    named = NAMED
    official = "the zip, its unpacked folder, or train-item-views.csv"
    obtain = f"download it from {HOME}"
    files = (LOG,)
    optional = (PRODUCTS, CATEGORIES)

    @dataclass(frozen=True)
    class Config:
        """Options of `Diginetica`.

        Attributes:
            path: the official zip, its unpacked folder, or train-item-views.csv.
        """

        path: str | None

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the views to Parquet."""
        files = self.unpacked(scratch)
        columns = ("sessionId", "itemId", "timeframe", "eventdate")
        day = pl.col("eventdate").str.strip_chars().str.to_date("%Y-%m-%d", strict=False)
        rows = scan_text(files[LOG], columns, ";", header=True).select(
            user_id=to_int("sessionId"),
            item_id=to_int("itemId"),
            timestamp=day.dt.epoch("s"),
            order=to_int("timeframe"),
        )
        log = sink_log(rows, files[LOG], scratch / "log.parquet")
        items, kinds = _items(files)
        return RawData(log, items, features=Features(items=kinds), about=self.about)


def _items(files: dict[str, Path]) -> tuple[pl.DataFrame | None, dict[str, Any]]:
    """item_id, price_log2, name_tokens, category: those whose files exist."""
    tables: list[pl.DataFrame] = []
    kinds: dict[str, Any] = {}
    if PRODUCTS in files:
        columns = ("itemId", "pricelog2", "product.name.tokens")
        tokens = blank_to_null("product.name.tokens").str.split(",")
        tables.append(
            _read(files[PRODUCTS], columns, price_log2=to_float("pricelog2"), name_tokens=tokens)
        )
        kinds |= {"price_log2": "numeric", "name_tokens": "list"}
    if CATEGORIES in files:
        category = blank_to_null("categoryId")
        tables.append(_read(files[CATEGORIES], ("itemId", "categoryId"), category=category))
        kinds |= {"category": "categorical"}
    if not tables:
        return None, {}
    items = tables[0]
    for table in tables[1:]:
        items = items.join(table, on="item_id", how="full", coalesce=True)
    return items.sort("item_id"), kinds


def _read(file: Path, columns: tuple[str, ...], **values: pl.Expr) -> pl.DataFrame:
    """A table of products, with the first row of each product."""
    rows = scan_text(file, columns, ";", header=True).select(item_id=to_int("itemId"), **values)
    return collect_table(rows, file, "item_id")
