"""MovieLens 100k and 1M in their official form (Harper and Konstan, 2015)."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl
from polars.exceptions import PolarsError

from recsys_lab.config import UserError
from recsys_lab.data.download import download, read_members
from recsys_lab.data.raw import RawData

NOTICE = (
    "MovieLens data is for research; GroupLens allows no redistribution and no commercial use "
    "without permission, and asks for citation: https://doi.org/10.1145/2827872"
)

GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""The flags at the end of a line of u.item, in order."""


@dataclass(frozen=True)
class Edition:
    """Where one edition is and how its files are written."""

    url: str
    md5: str
    log: str
    items: str
    users: str
    log_separator: bytes
    separator: bytes
    user_columns: tuple[str, ...]


EDITIONS = {
    "100k": Edition(
        url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        md5="0e33842e24a9c977be4e0107933c0723",
        log="u.data",
        items="u.item",
        users="u.user",
        log_separator=b"\t",
        separator=b"|",
        user_columns=("user_id", "age", "gender", "occupation", "zip_code"),
    ),
    "1m": Edition(
        url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        md5="c4d9eecfca2ab87c1945afe126590906",
        log="ratings.dat",
        items="movies.dat",
        users="users.dat",
        log_separator=b"::",
        separator=b"::",
        user_columns=("user_id", "gender", "age", "occupation", "zip_code"),
    ),
}


class MovieLens:
    """Reads every rating as an event; titles and genres are kept.

    Args:
        config: the edition and the place.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `MovieLens`.

        Attributes:
            variant: the edition.
            path: the official zip or its unpacked folder; null: download.
            download_dir: where a downloaded zip is kept.
        """

        variant: Literal["100k", "1m"]
        path: str | None
        download_dir: str

    def __init__(self, config: Config) -> None:
        self.config = config
        self.edition = EDITIONS[config.variant]
        self._members: dict[str, bytes] | None = None

    def source_key(self) -> dict[str, Any]:
        """Size and SHA-256 of each file in the archive: equal for the zip and the folder."""
        return {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in self._read_members().items()
        }

    def read_raw(self) -> RawData:
        """Read ratings, films and users."""
        edition = self.edition
        columns = ["user_id", "item_id", "rating", "timestamp"]
        ratings = self._frame(edition.log, edition.log_separator, columns)
        interactions = ratings.select(
            pl.col("user_id", "item_id", "timestamp").cast(pl.Int64, strict=False)
        )
        users = self._frame(edition.users, edition.separator, list(edition.user_columns))
        users = users.with_columns(pl.col("user_id", "age").cast(pl.Int64, strict=False))
        return RawData(interactions, self._films(), users)

    def _films(self) -> pl.DataFrame:
        """item_id, title and genres ('Comedy|Drama')."""
        edition = self.edition
        if self.config.variant == "1m":
            films = self._frame(edition.items, edition.separator, ["item_id", "title", "genres"])
        else:
            columns = ["item_id", "title", "release_date", "video_date", "url", *GENRES]
            films = self._frame(edition.items, edition.separator, columns)
            flags = [
                pl.when(pl.col(genre) == "1").then(pl.lit(genre, dtype=pl.String))
                for genre in GENRES
            ]
            films = films.select(
                "item_id",
                "title",
                "release_date",
                genres=pl.concat_str(flags, separator="|", ignore_nulls=True),
            )
        return films.with_columns(pl.col("item_id").cast(pl.Int64, strict=False))

    def _frame(self, name: str, separator: bytes, columns: list[str]) -> pl.DataFrame:
        """One file as strings. It is Latin-1, and '::' is no separator that a parser knows."""
        data = self._read_members()[name]
        if len(separator) > 1:
            data, separator = data.replace(separator, b"\x1f"), b"\x1f"
        text = data.decode("latin-1").encode()
        try:
            return pl.read_csv(
                io.BytesIO(text),
                separator=separator.decode(),
                has_header=False,
                quote_char=None,  # titles hold single quotation marks
                schema=dict.fromkeys(columns, pl.String),
            )
        except PolarsError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{self._place()}: {name} is not in the form of MovieLens {self.config.variant} "
                f"({', '.join(columns[:4])}, ...): {reason}"
            ) from error

    def _place(self) -> Path:
        if self.config.path is None:
            folder = Path(self.config.download_dir).expanduser()
            return download(self.edition.url, self.edition.md5, folder, NOTICE)
        place = Path(self.config.path).expanduser()
        if not place.exists():
            raise UserError(
                f"data.path={place}: no such file or folder. Pass the official "
                f"{self.edition.url.rsplit('/', 1)[-1]} or its unpacked folder, or "
                "data.path=null to download it"
            )
        return place

    def _read_members(self) -> dict[str, bytes]:
        if self._members is None:
            edition = self.edition
            names = [edition.log, edition.items, edition.users]
            self._members = read_members(self._place(), names, "data.path")
        return self._members
