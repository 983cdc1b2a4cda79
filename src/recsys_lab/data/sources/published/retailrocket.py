"""Retailrocket: views, baskets and purchases of a web shop (Zykov, Noskov and Anokhin, 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys_lab.data.columns.timestamps import parse_date
from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.base import About, DatasetInfo, PublishedDataset
from recsys_lab.data.sources.published.files import (
    as_user_error,
    blank_to_null,
    collect_table,
    scan_text,
    seconds_and_order,
    sink_log,
    to_int,
)

LOG = "events.csv"
PROPERTIES = ("item_properties_part1.csv", "item_properties_part2.csv")
TREE = "category_tree.csv"
HOME = "https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset"

NAMED = DatasetInfo(
    about=About(
        title="Retailrocket recommender system dataset",
        homepage=HOME,
        licence="CC BY-NC-SA 4.0",
        citation="Zykov, Noskov and Anokhin (2022). Retailrocket recommender system dataset. "
        "Kaggle. https://doi.org/10.34740/KAGGLE/DSV/4471234",
        notes=(
            "97% of the events are views; papers differ in which types they keep: choose with "
            "filter.event_types=[view] or similar.",
            "A visitor is a cookie, and most have one event; a few are robots with thousands.",
            "Leak: properties are weekly snapshots, also from after a split's cut. Only "
            "categories are read: as first seen, or as of data.category_as_of; set it to the cut.",
            "Item properties cover nine tenths of the events; the others have no category.",
        ),
    ),
    size="2,756,101 events, 1,407,580 visitors, 235,061 items; 940 MB unpacked",
    needs="a Kaggle account: download the zip there",
)


class Retailrocket(PublishedDataset):
    """Reads one view, addition to the basket, or transaction as an event."""

    named = NAMED
    official = "the zip, its unpacked folder, or events.csv"
    obtain = f"download it from {HOME} (a Kaggle account is needed)"
    files = (LOG,)
    optional = (*PROPERTIES, TREE)

    @dataclass(frozen=True)
    class Config:
        """Options of `Retailrocket`.

        Attributes:
            path: Kaggle's zip, its unpacked folder, or events.csv.
            category_as_of: an ISO date, UTC: an item's category is its latest one at or before
                this date; null: its first one.
        """

        path: str | None
        category_as_of: str | None

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._as_of: int | None = None  # in milliseconds
        if config.category_as_of is not None:
            moment = parse_date("data.category_as_of", config.category_as_of)
            self._as_of = int(moment.timestamp() * 1000)

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the events to Parquet; the only properties read are categories."""
        files = self.unpacked(scratch)
        columns = ("timestamp", "visitorid", "event", "itemid")
        rows = scan_text(files[LOG], columns, ",", header=True).select(
            user_id=to_int("visitorid"),
            item_id=to_int("itemid"),
            **seconds_and_order(to_int("timestamp")),
            event_type=blank_to_null("event"),
        )
        log = sink_log(rows, files[LOG], scratch / "log.parquet")
        items = self._items(files)
        described = [] if items is None else items.columns[1:]
        kinds: dict[str, Any] = dict.fromkeys(described, "categorical")
        features = Features(items=kinds, events={"event_type": "categorical"})
        return RawData(log, items, features=features, about=self.about)

    def _items(self, files: dict[str, Path]) -> pl.DataFrame | None:
        """item_id, category and, with the tree, parent_category; None without properties."""
        parts = [files[name] for name in PROPERTIES if name in files]
        if not parts:
            return None
        columns = ("timestamp", "itemid", "property", "value")
        tables = []
        for file in parts:
            text = scan_text(file, columns, ",", header=True)
            known = text.filter(pl.col("property") == "categoryid").select(
                time=to_int("timestamp"), item_id=to_int("itemid"), category=blank_to_null("value")
            )
            if self._as_of is not None:
                known = known.filter(pl.col("time") <= self._as_of)
            with as_user_error(file):
                tables.append(known.drop_nulls().collect(engine="streaming"))
        keep: Any = "first" if self._as_of is None else "last"
        items = pl.concat(tables).sort("time", maintain_order=True)
        items = items.unique("item_id", keep=keep, maintain_order=True).drop("time")
        if TREE in files:
            text = scan_text(files[TREE], ("categoryid", "parentid"), ",", header=True)
            text = text.select(
                category=blank_to_null("categoryid"), parent_category=blank_to_null("parentid")
            )
            tree = collect_table(text, files[TREE], "category")
            items = items.join(tree, on="category", how="left")
        return items.sort("item_id")
