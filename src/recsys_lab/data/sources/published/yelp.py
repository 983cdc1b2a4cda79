"""Yelp Open Dataset: reviews of local businesses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.formats.archives import find_members, member_key, open_member
from recsys_lab.data.formats.chunks import json_chunks, shaped_chunks, write_chunks
from recsys_lab.data.formats.parquet_log import items_of_log, write_log
from recsys_lab.data.formats.paths import is_there
from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.about import About, DatasetInfo
from recsys_lab.data.sources.published.amazon import names, text

if TYPE_CHECKING:
    from recsys_lab.data.raw import FeatureType, ParquetLog

HOMEPAGE = "https://business.yelp.com/data/resources/open-dataset/"
REVIEWS = "yelp_academic_dataset_review.json"
BUSINESSES = "yelp_academic_dataset_business.json"

RECORD = {
    "user_id": pl.String,
    "business_id": pl.String,
    "stars": pl.Float64,
    "date": pl.String,
}
LOG = {
    "user_id": pl.String,
    "item_id": pl.String,
    "rating": pl.Float64,
    "timestamp": pl.Int64,
}
ITEMS = {
    "item_id": pl.String,
    "title": pl.String,
    "city": pl.String,
    "state": pl.String,
    "latitude": pl.Float64,
    "longitude": pl.Float64,
    "categories": pl.List(pl.String),
}
KINDS: dict[str, FeatureType] = {
    "title": "text",
    "city": "categorical",
    "state": "categorical",
    "latitude": "numeric",
    "longitude": "numeric",
    "categories": "list",
}


class Yelp:
    """Reads one review as an event; businesses have names, places and categories.

    Args:
        config: the place.
    """

    named: ClassVar[DatasetInfo] = DatasetInfo(
        about=About(
            title="Yelp Open Dataset",
            homepage=HOMEPAGE,
            licence="Yelp Dataset Terms of Use: academic use only, no redistribution, no "
            "commercial use; to be accepted at the download.",
            citation=f"Yelp Inc. Yelp Open Dataset. {HOMEPAGE}",
            notes=(
                "Yelp changes the dataset from year to year ('Yelp2018', 'Yelp2022', ...) and "
                "keeps no old versions: say which one was used, by the SHA-256 in the manifest.",
                "Published work often takes a part: one year, or 5- or 10-core; numbers across "
                "papers are rarely comparable.",
                "The dates have no time zone and are taken for UTC.",
                "A business's stars and number of reviews, and a user's averages and friends, know "
                "the future; they are not read.",
            ),
        ),
        size="6,990,280 reviews, 1,987,929 users, 150,346 businesses (version of 2022); 4 GB",
        needs="accepting Yelp's terms, then data.path=yelp_dataset.tar",
    )

    @dataclass(frozen=True)
    class Config:
        """Options of `Yelp`.

        Attributes:
            path: yelp_dataset.tar (also .tgz), its unpacked folder, or
                yelp_academic_dataset_review.json with yelp_academic_dataset_business.json beside
                it. There is no download without accepting Yelp's terms.
            metadata: whether names, places and categories of the businesses are read.
        """

        path: str | None
        metadata: bool

    def __init__(self, config: Config) -> None:
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """Size and SHA-256 of each file that is read: equal for the archive and the folder."""
        return {
            name: member_key(place, [name], "data.path")[name]
            for name, place in self._places().items()
        }

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the reviews to Parquet; read the businesses that were reviewed."""
        places = self._places()
        where = f"data.path={places[REVIEWS]}: {REVIEWS}"
        with open_member(places[REVIEWS], REVIEWS, "data.path") as stream:
            log = write_log(_events(stream, where), LOG, scratch / "log.parquet")
        items = _items(places[BUSINESSES], log, scratch) if BUSINESSES in places else None
        kinds = {} if items is None else KINDS
        features = Features(items=kinds, events={"rating": "numeric"})
        return RawData(log, items, features=features, about=self.named.about)

    def _places(self) -> dict[str, Path]:
        """Where each file that is wanted lies."""
        place = self._place()
        wanted = [REVIEWS, *([BUSINESSES] if self.config.metadata else [])]
        places = dict.fromkeys(find_members(place, wanted, "data.path"), place)
        beside = place.with_name(BUSINESSES)
        if place.is_file() and BUSINESSES not in places and beside.is_file():
            places[BUSINESSES] = beside
        missing = [name for name in wanted if name not in places]
        if missing:
            otherwise = "" if REVIEWS in missing else ", or set data.metadata=false"
            raise UserError(
                f"data.path={place}: has no {', '.join(missing)}; the official files of "
                f"yelp_dataset.tar are needed: get it from {HOMEPAGE}{otherwise}"
            )
        return {name: places[name] for name in wanted}

    def _place(self) -> Path:
        if self.config.path is None:
            raise UserError(
                "data.path is not set, and the Yelp Open Dataset cannot be downloaded by a "
                f"program: accept its terms at {HOMEPAGE}, download the JSON archive, and pass "
                "data.path=yelp_dataset.tar (or its unpacked folder)"
            )
        place = Path(self.config.path).expanduser()
        if not is_there(self.config.path, "data.path"):
            raise UserError(
                f"data.path={self.config.path}: no such file or folder. Pass yelp_dataset.tar, its "
                f"unpacked folder, or {REVIEWS}; see {HOMEPAGE}"
            )
        return place


def _events(stream: IO[bytes], where: str) -> Iterator[pl.DataFrame]:
    time = pl.col("date").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    day = pl.col("date").str.to_datetime("%Y-%m-%d", strict=False, time_unit="us")
    for frame in json_chunks(stream, RECORD, where):
        yield frame.select(
            "user_id",
            item_id="business_id",
            rating="stars",
            timestamp=pl.coalesce(time, day).dt.epoch("s"),  # old versions have days
        )


def _items(place: Path, log: ParquetLog, scratch: Path) -> pl.DataFrame:
    target = scratch / "items.parquet"
    with open_member(place, BUSINESSES, "data.path") as stream:
        rows = shaped_chunks(stream, ITEMS, _business, f"data.path={place}: {BUSINESSES}")
        write_chunks(rows, ITEMS, target)
    return items_of_log(target, log)


def _business(record: Mapping[str, Any]) -> dict[str, Any]:
    """Categories are one text with commas, or in old versions a list."""
    found = record.get("categories")
    return {
        "item_id": record.get("business_id"),
        "title": text(record.get("name")),
        "city": text(record.get("city")),
        "state": text(record.get("state")),
        "latitude": record.get("latitude"),
        "longitude": record.get("longitude"),
        "categories": names(found.split(", ") if isinstance(found, str) else found),
    }
