"""Diginetica: sessions of a web shop (CIKM Cup 2016, track 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.about import About, DatasetInfo
from recsys_lab.data.sources.published.files import (
    content_key,
    filled,
    no_download,
    number,
    place_of,
    scan_text,
    sink_log,
    told,
    unpacked,
    whole,
)

if TYPE_CHECKING:
    from pathlib import Path

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
            "A session stands for a user: two thirds of the rows have no user.",
            "The date has no time of day; timeframe is milliseconds since the session began. So "
            "all sessions of a day are tied, and a split by time cuts between days only.",
            "Rows of the file are not in the order of the session: it is timeframe that orders.",
            "The usual protocol (SR-GNN): the last 7 days are the test, items with fewer than 5 "
            "views and sessions of one view are removed.",
            "Prices are given as logarithm to the base 2; names as numbers for words.",
        ),
    ),
    size="1,235,380 views, 310,324 sessions, 122,993 items; 350 MB unpacked",
    needs="dataset-train-diginetica.zip, linked on its homepage",
)


class Diginetica:
    """Reads one view of an item as an event; a session is a user.

    Args:
        config: the place of the files.
    """

    named = NAMED

    @dataclass(frozen=True)
    class Config:
        """Options of `Diginetica`.

        Attributes:
            path: the official zip, its unpacked folder, or train-item-views.csv.
        """

        path: str | None

    def __init__(self, config: Config) -> None:
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the archive or its files."""
        return content_key(self._place(), [LOG, PRODUCTS, CATEGORIES])

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the views to Parquet."""
        files = unpacked(self._place(), [LOG], scratch, optional=[PRODUCTS, CATEGORIES])
        columns = ("sessionId", "itemId", "timeframe", "eventdate")
        day = pl.col("eventdate").str.strip_chars().str.to_date("%Y-%m-%d", strict=False)
        rows = scan_text(files[LOG], columns, ";", header=True).select(
            user_id=whole("sessionId"),
            item_id=whole("itemId"),
            timestamp=day.dt.epoch("s"),
            order=whole("timeframe"),
        )
        log = sink_log(rows, files[LOG], scratch / "log.parquet")
        items, kinds = _items(files)
        return RawData(log, items, features=Features(items=kinds), about=NAMED.about)

    def _place(self) -> Path:
        what = "the zip, its unpacked folder, or train-item-views.csv"
        if self.config.path is None:
            raise no_download("Diginetica", HOME, what)
        return place_of(self.config.path, what)


def _items(files: dict[str, Path]) -> tuple[pl.DataFrame | None, dict[str, Any]]:
    """item_id, price_log2, name_tokens, category: as far as their files are there."""
    tables: list[pl.DataFrame] = []
    kinds: dict[str, Any] = {}
    if PRODUCTS in files:
        columns = ("itemId", "pricelog2", "product.name.tokens")
        tokens = filled("product.name.tokens").str.split(",")
        tables.append(
            _read(files[PRODUCTS], columns, price_log2=number("pricelog2"), name_tokens=tokens)
        )
        kinds |= {"price_log2": "numeric", "name_tokens": "list"}
    if CATEGORIES in files:
        category = filled("categoryId")
        tables.append(_read(files[CATEGORIES], ("itemId", "categoryId"), category=category))
        kinds |= {"category": "categorical"}
    if not tables:
        return None, {}
    items = tables[0]
    for table in tables[1:]:
        items = items.join(table, on="item_id", how="full", coalesce=True)
    return items.sort("item_id"), kinds


def _read(file: Path, columns: tuple[str, ...], **values: pl.Expr) -> pl.DataFrame:
    """A table of products, one row a product: the first."""
    rows = scan_text(file, columns, ";", header=True).select(item_id=whole("itemId"), **values)
    with told(file):
        table = rows.drop_nulls("item_id").collect(engine="streaming")
    return table.unique("item_id", keep="first", maintain_order=True)
