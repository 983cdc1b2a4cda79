"""Steam: reviews of video games (Kang and McAuley, 2018; Wan and McAuley, 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.formats.archives import open_member
from recsys_lab.data.formats.chunks import shaped_chunks, write_chunks
from recsys_lab.data.formats.download import download
from recsys_lab.data.formats.parquet_log import items_of_log, write_log
from recsys_lab.data.formats.paths import file_key, is_there
from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.about import About, DatasetInfo
from recsys_lab.data.sources.published.amazon import names, price, text

if TYPE_CHECKING:
    from recsys_lab.data.raw import FeatureType, ParquetLog

URL = "https://cseweb.ucsd.edu/~wckang"
REVIEWS = "steam_reviews.json"
GAMES = "steam_games.json"

LOG = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Int64,
    "early_access": pl.String,
}
ITEMS = {
    "item_id": pl.String,
    "title": pl.String,
    "developer": pl.String,
    "publisher": pl.String,
    "release_date": pl.String,
    "price": pl.Float64,
    "genres": pl.List(pl.String),
    "tags": pl.List(pl.String),
    "specs": pl.List(pl.String),
}
KINDS: dict[str, FeatureType] = {
    "title": "text",
    "developer": "categorical",
    "publisher": "categorical",
    "price": "numeric",
    "genres": "list",
    "tags": "list",
    "specs": "list",
}


class Steam:
    """Reads one review of a game as an event.

    Args:
        config: the place, and who a user is.
    """

    named: ClassVar[DatasetInfo] = DatasetInfo(
        about=About(
            title="Steam Video Game and Bundle Data, reviews version 2",
            homepage="https://cseweb.ucsd.edu/~jmcauley/datasets.html#steam_data",
            licence="No licence is stated: reviews of Steam, published by the McAuley lab (UCSD) "
            "for research; citation is asked for. Check that your use is allowed.",
            citation="Kang and McAuley (2018). Self-Attentive Sequential Recommendation. ICDM. "
            "https://doi.org/10.1109/ICDM.2018.00035; Wan and McAuley (2018). Item Recommendation "
            "on Monotonic Behavior Chains. RecSys. https://doi.org/10.1145/3240323.3240369",
            notes=(
                "Times are days, and the file is grouped by game: a user's reviews of one day come "
                "in the order of games in the file. Report how ties are broken.",
                "Published work takes the user's name for the user: names are not unique and can "
                "be changed; but many reviews have no id (data.user_column).",
                "The file holds many a review several times: filter.drop_duplicates.",
                "Hours played are those when the file was made, after the review: they are not "
                "read; nor are a game's sentiment and metascore.",
            ),
        ),
        size="7,793,069 reviews, 2,567,538 users, 15,474 games; 1.3 GB",
        needs="nothing: downloaded",
    )

    @dataclass(frozen=True)
    class Config:
        """Options of `Steam`.

        Attributes:
            path: the official steam_reviews.json.gz, also unpacked, or the folder that holds it;
                steam_games.json.gz lies beside it. Null: download.
            download_dir: where downloaded files are kept.
            sha256: of the downloaded reviews, checked where it is given.
            metadata: whether titles, genres, tags and prices of the games are read.
            metadata_sha256: of the downloaded games, checked where it is given.
            user_column: who a user is: the name, or the id; many rows have none: they are dropped
                and counted, which filter.max_bad_rows must allow.
        """

        path: str | None
        download_dir: str
        sha256: str | None
        metadata: bool
        metadata_sha256: str | None
        user_column: Literal["username", "user_id"]

    def __init__(self, config: Config) -> None:
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the files."""
        files = {"log": self._log(), "metadata": self._games()}
        return {kind: file_key(file) for kind, file in files.items() if file is not None}

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the reviews to Parquet; read the games that were reviewed."""
        file, games = self._log(), self._games()
        with open_member(file, REVIEWS, "data.path") as stream:
            log = write_log(self._events(stream, file), LOG, scratch / "log.parquet")
        items = None if games is None else _items(games, log, scratch)
        kinds = {} if items is None else KINDS
        features = Features(items=kinds, events={"early_access": "categorical"})
        return RawData(log, items, features=features, about=self.named.about)

    def _events(self, stream: IO[bytes], file: Path) -> Iterator[pl.DataFrame]:
        def row(record: Mapping[str, Any]) -> dict[str, Any]:
            early = record.get("early_access")
            return {
                "user_id": record.get(self.config.user_column),
                "item_id": record.get("product_id"),
                "timestamp": record.get("date"),
                "early_access": str(early).lower() if isinstance(early, bool) else None,
            }

        schema = {**LOG, "timestamp": pl.String}
        for frame in shaped_chunks(stream, schema, row, f"data.path={file}"):
            day = pl.col("timestamp").str.to_datetime("%Y-%m-%d", strict=False, time_unit="us")
            yield frame.with_columns(timestamp=day.dt.epoch("s"))

    def _log(self) -> Path:
        if self.config.path is None:
            return self._fetched(REVIEWS, self.config.sha256)
        place = Path(self.config.path).expanduser()
        if not is_there(self.config.path, "data.path"):
            raise UserError(
                f"data.path={self.config.path}: no such file or folder. Pass the official "
                f"{REVIEWS}.gz ({URL}/{REVIEWS}.gz) or its folder, or data.path=null to download it"
            )
        return _either(place, REVIEWS, "") if place.is_dir() else place

    def _games(self) -> Path | None:
        if not self.config.metadata:
            return None
        if self.config.path is None:
            return self._fetched(GAMES, self.config.metadata_sha256)
        place = Path(self.config.path).expanduser()
        folder = place if place.is_dir() else place.parent
        return _either(folder, GAMES, ", or set data.metadata=false")

    def _fetched(self, name: str, sha256: str | None) -> Path:
        about = self.named.about
        folder = Path(self.config.download_dir).expanduser()
        notice = f"{about.licence} {about.citation}"
        return download(f"{URL}/{name}.gz", None, folder, notice, sha256=sha256)


def _either(folder: Path, name: str, otherwise: str) -> Path:
    for file in (folder / f"{name}.gz", folder / name):
        if file.is_file():
            return file
    raise UserError(f"data.path: {folder} has no {name}.gz. Get it from {URL}/{name}.gz{otherwise}")


def _items(games: Path, log: ParquetLog, scratch: Path) -> pl.DataFrame:
    target = scratch / "items.parquet"
    with open_member(games, GAMES, "data.path") as stream:
        rows = shaped_chunks(stream, ITEMS, _game, f"data.path={games}")
        write_chunks(rows, ITEMS, target)
    return items_of_log(target, log)


def _game(record: Mapping[str, Any]) -> dict[str, Any]:
    """A price is a number or words such as 'Free To Play', which cost nothing."""
    cost = record.get("price")
    free = isinstance(cost, str) and cost.lower().startswith("free")
    return {
        "item_id": record.get("id"),
        "title": text(record.get("title")) or text(record.get("app_name")),
        "developer": text(record.get("developer")),
        "publisher": text(record.get("publisher")),
        "release_date": text(record.get("release_date")),
        "price": 0.0 if free else price(cost),
        "genres": names(record.get("genres")),
        "tags": names(record.get("tags")),
        "specs": names(record.get("specs")),
    }
