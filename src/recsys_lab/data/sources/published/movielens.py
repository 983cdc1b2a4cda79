"""MovieLens 100k, 1M, 10M, 20M and 32M in their official format (Harper and Konstan, 2015)."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError, first_line
from recsys_lab.data.formats.archives import find_members, member_key, open_member
from recsys_lab.data.formats.chunks import delimited_chunks
from recsys_lab.data.raw import Features, FeatureType, RawData
from recsys_lab.data.sources.published.base import OPTION, DatasetInfo, PublishedDataset
from recsys_lab.data.sources.published.files import write_log
from recsys_lab.data.sources.published.movielens_editions import EDITIONS, GENRES, NAMED, URL

LOG = {"user_id": pl.Int64, "item_id": pl.Int64, "rating": pl.Float64, "timestamp": pl.Int64}


class MovieLens(PublishedDataset):
    """Reads every rating as an event; titles, years, genres and user attributes are kept."""

    named: ClassVar[Mapping[str, DatasetInfo]] = NAMED

    @dataclass(frozen=True)
    class Config:
        """Options of `MovieLens`.

        Attributes:
            variant: the edition.
            path: the official zip or its unpacked folder; null: download.
            download_dir: folder of the downloaded zip.
        """

        variant: Literal["100k", "1m", "10m", "20m", "32m"]
        path: str | None
        download_dir: str

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.edition = EDITIONS[config.variant]
        self.files = self.edition.files
        self.archive = f"ml-{config.variant}.zip"
        self.official = f"the official {self.archive} or its unpacked folder"

    def source_key(self) -> dict[str, Any]:
        """Size and SHA-256 of each file, equal for the zip and the folder."""
        return member_key(self.source_path(), self.files, OPTION)

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the ratings to Parquet; read films and users."""
        source = self.source_path()
        users = self._users(source)
        films = self._films(source)
        with open_member(source, self.edition.log, OPTION) as stream:
            log = write_log(self._ratings(stream, source), LOG, scratch / "ratings.parquet")
        items: dict[str, FeatureType] = {"title": "text", "genres": "list", "year": "numeric"}
        people: dict[str, FeatureType] = {
            "age": "numeric" if self.config.variant == "100k" else "categorical",
            "gender": "categorical",
            "occupation": "categorical",
            "zip_code": "categorical",
        }
        features = Features(items, people if users is not None else {}, {"rating": "numeric"})
        return RawData(log, films, users, features=features, about=self.about)

    def _ratings(self, stream: IO[bytes], source: Path) -> Iterator[pl.DataFrame]:
        """Ratings in chunks; values that are not numbers become null, which makes a row bad."""
        edition = self.edition
        where = self._where(source, edition.log)
        separator = edition.log_separator or edition.separator
        chunks = delimited_chunks(stream, list(LOG), separator, where, header=edition.log_header)
        for chunk in chunks:
            yield chunk.with_columns(
                pl.col(name).str.strip_chars().cast(kind, strict=False)
                for name, kind in LOG.items()
            )

    def _films(self, source: Path) -> pl.DataFrame:
        """item_id, title, year (from the end of the title), genres (a list)."""
        edition = self.edition
        names = ["item_id", "title", "genres"]
        if self.config.variant == "100k":
            names = ["item_id", "title", "release_date", "video_date", "url", *GENRES]
        films = self._table(source, edition.items, names)
        if self.config.variant == "100k":
            flags = [
                pl.when(pl.col(genre) == "1").then(pl.lit(genre, dtype=pl.String))
                for genre in GENRES
            ]
            films = films.with_columns(genres=pl.concat_list(flags).list.drop_nulls())
        else:
            genres = pl.col("genres").str.split("|")
            films = films.with_columns(
                genres=pl.when(pl.col("genres") == "(no genres listed)")
                .then(pl.lit([], dtype=pl.List(pl.String)))
                .otherwise(genres)
            )
        year = pl.col("title").str.extract(r"\((\d{4})(?:[-\u2013]\d{0,4})?\)\s*$")
        return films.select(
            pl.col("item_id").cast(pl.Int64, strict=False),
            "title",
            year=year.cast(pl.Int64),
            genres="genres",
        )

    def _users(self, source: Path) -> pl.DataFrame | None:
        """User attributes, which only the small editions have."""
        edition = self.edition
        if edition.users is None:
            return None
        users = self._table(source, edition.users, list(edition.user_columns))
        return users.with_columns(
            pl.col("user_id").cast(pl.Int64, strict=False),
            # In 1M, the lower end of a range: 1, 18, 25, 35, 45, 50, 56.
            pl.col("age").cast(pl.Int64, strict=False),
        )

    def _table(self, source: Path, name: str, columns: list[str]) -> pl.DataFrame:
        """A small file as strings."""
        edition = self.edition
        with open_member(source, name, OPTION) as stream:
            data = stream.read()
        separator = edition.separator
        try:
            text = data.decode(edition.encoding).removeprefix("\ufeff")
            if len(separator) > 1:
                text, separator = text.replace(separator, "\x1f"), "\x1f"
            return pl.read_csv(
                io.BytesIO(text.encode()),
                separator=separator,
                has_header=False,
                skip_rows=0 if edition.log_header is None else 1,
                # Titles contain unpaired quotation marks if the separator is not the comma.
                quote_char='"' if separator == "," else None,
                schema=dict.fromkeys(columns, pl.String),
            )
        except (PolarsError, UnicodeDecodeError) as error:
            raise UserError(
                f"{self._where(source, name)} is not in the official format "
                f"({', '.join(columns[:4])}, ...): {first_line(error)}"
            ) from error

    def _where(self, source: Path, name: str) -> str:
        return f"data.path={source}: {name} (MovieLens {self.config.variant})"

    def source_path(self) -> Path:
        """The zip, or its folder, with all files of the edition."""
        if self.config.path is None:
            source = self.fetch(f"{URL}/{self.archive}", md5=self.edition.md5)
        else:
            source = super().source_path()
        self.require(source, find_members(source, self.files, OPTION))
        return source
