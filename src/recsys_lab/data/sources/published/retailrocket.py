"""Retailrocket: views, baskets and purchases of a web shop (Zykov, Noskov and Anokhin, 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.about import About, DatasetInfo
from recsys_lab.data.sources.published.files import (
    clock,
    content_key,
    filled,
    no_download,
    place_of,
    scan_text,
    sink_log,
    told,
    unpacked,
    whole,
)

if TYPE_CHECKING:
    from pathlib import Path

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
            "97% of the events are views; papers differ in which types they keep: say so with "
            "filter.event_types=[view] or the like.",
            "A visitor is a cookie, and most have one event; a few are robots with thousands.",
            "Leak trap: properties are weekly snapshots, also from after a split's cut. Only "
            "categories are read: as first seen, or as of data.category_as_of; set it to the cut.",
            "Item properties cover nine tenths of the events; the others have no category.",
        ),
    ),
    size="2,756,101 events, 1,407,580 visitors, 235,061 items; 940 MB unpacked",
    needs="a Kaggle account: download the zip there",
)


class Retailrocket:
    """Reads one view, addition to the basket, or transaction as an event.

    Args:
        config: the place of the files, and of when the items' categories are.
    """

    named = NAMED

    @dataclass(frozen=True)
    class Config:
        """Options of `Retailrocket`.

        Attributes:
            path: Kaggle's zip, its unpacked folder, or events.csv.
            category_as_of: an ISO date, UTC: an item's category is the latest known at or before
                it; null: the first that is known of the item.
        """

        path: str | None
        category_as_of: str | None

    def __init__(self, config: Config) -> None:
        self.config = config
        self._as_of = _milliseconds(config.category_as_of)

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the archive or its files."""
        return content_key(self._place(), [LOG, *PROPERTIES, TREE])

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the events to Parquet; of the properties only categories are kept."""
        files = unpacked(self._place(), [LOG], scratch, optional=[*PROPERTIES, TREE])
        columns = ("timestamp", "visitorid", "event", "itemid")
        rows = scan_text(files[LOG], columns, ",", header=True).select(
            user_id=whole("visitorid"),
            item_id=whole("itemid"),
            **clock(whole("timestamp")),
            event_type=filled("event"),
        )
        log = sink_log(rows, files[LOG], scratch / "log.parquet")
        items = self._items(files)
        described = [] if items is None else items.columns[1:]
        kinds: dict[str, Any] = dict.fromkeys(described, "categorical")
        features = Features(items=kinds, events={"event_type": "categorical"})
        return RawData(log, items, features=features, about=NAMED.about)

    def _items(self, files: dict[str, Path]) -> pl.DataFrame | None:
        """item_id, category and, with the tree, parent_category; None without properties."""
        parts = [files[name] for name in PROPERTIES if name in files]
        if not parts:
            return None
        columns = ("timestamp", "itemid", "property", "value")
        found = []
        for file in parts:
            text = scan_text(file, columns, ",", header=True)
            known = text.filter(pl.col("property") == "categoryid").select(
                time=whole("timestamp"), item_id=whole("itemid"), category=filled("value")
            )
            if self._as_of is not None:
                known = known.filter(pl.col("time") <= self._as_of)
            with told(file):
                found.append(known.drop_nulls().collect(engine="streaming"))
        keep: Any = "first" if self._as_of is None else "last"
        items = pl.concat(found).sort("time", maintain_order=True)
        items = items.unique("item_id", keep=keep, maintain_order=True).drop("time")
        if TREE in files:
            text = scan_text(files[TREE], ("categoryid", "parentid"), ",", header=True)
            with told(files[TREE]):
                tree = text.select(
                    category=filled("categoryid"), parent_category=filled("parentid")
                ).collect()
            tree = tree.drop_nulls("category").unique("category", keep="first")
            items = items.join(tree, on="category", how="left")
        return items.sort("item_id")

    def _place(self) -> Path:
        what = "the zip, its unpacked folder, or events.csv"
        if self.config.path is None:
            raise no_download("Retailrocket", f"{HOME} (a Kaggle account is needed)", what)
        return place_of(self.config.path, what)


def _milliseconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(
            f"data.category_as_of={text}: is no date; write it as 2015-08-31 or null"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
