"""Yelp Open Dataset: reviews of local businesses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.formats.archives import find_members, member_key
from recsys_lab.data.formats.chunks import json_chunks
from recsys_lab.data.raw import FeatureType
from recsys_lab.data.sources.published.base import OPTION, About, DatasetInfo
from recsys_lab.data.sources.published.reviews import ReviewDataset

HOMEPAGE = "https://business.yelp.com/data/resources/open-dataset/"
REVIEWS = "yelp_academic_dataset_review.json"
BUSINESSES = "yelp_academic_dataset_business.json"

RECORD = {"user_id": pl.String, "business_id": pl.String, "stars": pl.Float64, "date": pl.String}
LOG = {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float64, "timestamp": pl.Int64}
ITEMS: dict[str, FeatureType | None] = {
    "title": "text",
    "city": "categorical",
    "state": "categorical",
    "latitude": "numeric",
    "longitude": "numeric",
    "categories": "list",
}


class Yelp(ReviewDataset):
    """Reads one review as an event; businesses have names, locations and categories."""

    named = DatasetInfo(
        about=About(
            title="Yelp Open Dataset",
            homepage=HOMEPAGE,
            licence="Yelp Dataset Terms of Use: academic use only, no redistribution, no "
            "commercial use; to be accepted at the download.",
            citation=f"Yelp Inc. Yelp Open Dataset. {HOMEPAGE}",
            notes=(
                "Yelp changes the dataset from year to year ('Yelp2018', 'Yelp2022', ...) and "
                "keeps no old versions: report which one was used, by the SHA-256 in the manifest.",
                "Published work often uses a part: one year, or 5- or 10-core; numbers across "
                "papers are rarely comparable.",
                "The dates have no time zone and are read as UTC.",
                "A business's stars and number of reviews, and a user's averages and friends, "
                "depend on later events; they are not read.",
            ),
        ),
        size="6,990,280 reviews, 1,987,929 users, 150,346 businesses (version of 2022); 4 GB",
        needs="accepting Yelp's terms, then data.path=yelp_dataset.tar",
    )

    official = f"yelp_dataset.tar, its unpacked folder, or {REVIEWS}"
    obtain = f"accept its terms at {HOMEPAGE}, download the JSON archive"
    files = (REVIEWS, BUSINESSES)
    log = LOG
    items = ITEMS
    keys: ClassVar[Mapping[str, str]] = {"item_id": "business_id", "title": "name"}

    @dataclass(frozen=True)
    class Config:
        """Options of `Yelp`.

        Attributes:
            path: yelp_dataset.tar (also .tgz), its unpacked folder, or
                yelp_academic_dataset_review.json, with yelp_academic_dataset_business.json in the
                same folder. To download it, accept Yelp's terms.
            metadata: whether to read names, locations and categories of the businesses.
        """

        path: str | None
        metadata: bool

    def source_key(self) -> dict[str, Any]:
        """Size and SHA-256 of each file that is read: equal for the archive and the folder."""
        located = zip(self.files, self.locate(), strict=False)
        return {name: member_key(source, [name], OPTION)[name] for name, source in located}

    def locate(self) -> list[Path]:
        """The file, archive or folder with each file that is read."""
        source = self.source_path()
        wanted = self.files[: 1 + self.config.metadata]
        sources = dict.fromkeys(find_members(source, wanted, OPTION), source)
        beside = source.with_name(BUSINESSES)
        if source.is_file() and beside.is_file():
            sources.setdefault(BUSINESSES, beside)
        missing = [name for name in wanted if name not in sources]
        if missing:
            otherwise = "" if REVIEWS in missing else ", or set data.metadata=false"
            raise UserError(
                f"{OPTION}={source}: has no {', '.join(missing)}; the official files of "
                f"yelp_dataset.tar are needed: download it from {HOMEPAGE}{otherwise}"
            )
        return [sources[name] for name in wanted]

    def rows(self, stream: IO[bytes], where: str) -> Iterator[pl.DataFrame]:
        """Rows of the log; dates as seconds."""
        time = pl.col("date").str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
        day = pl.col("date").str.to_datetime("%Y-%m-%d", strict=False, time_unit="us")
        for frame in json_chunks(stream, RECORD, where):
            yield frame.select(
                "user_id",
                item_id="business_id",
                rating="stars",
                timestamp=pl.coalesce(time, day).dt.epoch("s"),  # old versions have days
            )

    def item(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Categories are one text with commas, or in old versions a list."""
        value = record.get("categories")
        listed = value.split(", ") if isinstance(value, str) else value
        coordinates = {name: record.get(name) for name in ("latitude", "longitude")}
        return super().item({**record, "categories": listed}) | coordinates
