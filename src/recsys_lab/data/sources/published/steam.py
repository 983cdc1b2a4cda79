"""Steam: reviews of video games (Kang and McAuley, 2018; Wan and McAuley, 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, ClassVar, Literal

import polars as pl

from recsys_lab.data.formats.chunks import shaped_chunks
from recsys_lab.data.raw import FeatureType
from recsys_lab.data.sources.options import DownloadOptions
from recsys_lab.data.sources.published.base import About, DatasetInfo
from recsys_lab.data.sources.published.reviews import ReviewDataset, text

URL = "https://cseweb.ucsd.edu/~wckang"
LOG = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "early_access": pl.String}
EVENTS: dict[str, FeatureType] = {"early_access": "categorical"}
ITEMS: dict[str, FeatureType | None] = {
    "title": "text",
    "developer": "categorical",
    "publisher": "categorical",
    "release_date": None,
    "price": "numeric",
    "genres": "list",
    "tags": "list",
    "specs": "list",
}


class Steam(ReviewDataset):
    """Reads one review of a game as an event."""

    named = DatasetInfo(
        about=About(
            title="Steam Video Game and Bundle Data, reviews version 2",
            homepage="https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data",
            licence="No licence is stated: reviews of Steam, published by the McAuley lab (UCSD) "
            "for research; citation is requested. Check that your use is allowed.",
            citation="Kang and McAuley (2018). Self-Attentive Sequential Recommendation. ICDM. "
            "https://doi.org/10.1109/ICDM.2018.00035; Wan and McAuley (2018). Item Recommendation "
            "on Monotonic Behavior Chains. RecSys. https://doi.org/10.1145/3240323.3240369",
            notes=(
                "Times are days, and the file is grouped by game: a user's reviews of one day come "
                "in the order of games in the file. Report how ties are broken.",
                "Published work uses the user's name as the user: names are not unique and can be "
                "changed; but many reviews have no id (data.user_column).",
                "The file has many reviews several times: filter.drop_duplicates.",
                "Hours played were counted after the review, when the file was made: they are not "
                "read; nor are a game's sentiment and metascore.",
            ),
        ),
        size="7,793,069 reviews, 2,567,538 users, 15,474 games; 1.3 GB",
        needs="nothing: downloaded",
    )

    url = f"{URL}/steam_reviews.json.gz"
    metadata_url = f"{URL}/steam_games.json.gz"
    files = ("steam_reviews.json", "steam_games.json")
    official = f"the official steam_reviews.json.gz ({url}) or its folder"
    log = LOG
    events = EVENTS
    items = ITEMS
    keys: ClassVar[Mapping[str, str]] = {"item_id": "id"}

    @dataclass(frozen=True)
    class Config(DownloadOptions):
        """Options of `Steam`.

        Attributes:
            path: the official steam_reviews.json.gz, also unpacked, or its folder, which also has
                steam_games.json.gz. Null: download.
            metadata: whether to read titles, genres, tags and prices of the games.
            metadata_sha256: expected hash of the downloaded games, or null.
            user_column: whether a user is a name or an id; rows without an id, of which there are
                many, are dropped and counted, which filter.max_bad_rows must allow.
        """

        metadata: bool
        metadata_sha256: str | None
        user_column: Literal["username", "user_id"]

    def rows(self, stream: IO[bytes], where: str) -> Iterator[pl.DataFrame]:
        """Rows of the log; dates as seconds."""

        def row(record: Mapping[str, Any]) -> dict[str, Any]:
            early = record.get("early_access")
            return {
                "user_id": record.get(self.config.user_column),
                "item_id": record.get("product_id"),
                "timestamp": record.get("date"),
                "early_access": str(early).lower() if isinstance(early, bool) else None,
            }

        schema = {**LOG, "timestamp": pl.String}
        for frame in shaped_chunks(stream, schema, row, where):
            day = pl.col("timestamp").str.to_datetime("%Y-%m-%d", strict=False, time_unit="us")
            yield frame.with_columns(timestamp=day.dt.epoch("s"))

    def item(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A price is a number, or a text such as 'Free To Play', which is 0."""
        cost = record.get("price")
        free = isinstance(cost, str) and cost.lower().startswith("free")
        item = super().item(record)
        title = item["title"] or text(record.get("app_name"))
        return item | {"title": title, "price": 0.0 if free else item["price"]}
