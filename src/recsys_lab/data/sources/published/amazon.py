"""Amazon reviews: what the releases of 2014, 2018 and 2023 have in common."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.formats.archives import open_member
from recsys_lab.data.formats.chunks import (
    delimited_chunks,
    json_chunks,
    shaped_chunks,
    write_chunks,
)
from recsys_lab.data.formats.download import download
from recsys_lab.data.formats.parquet_log import items_of_log, write_log
from recsys_lab.data.formats.paths import file_key, is_there
from recsys_lab.data.raw import Features, RawData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recsys_lab.data.raw import FeatureType
    from recsys_lab.data.sources.published.about import DatasetInfo

LICENCE = (
    "No licence is stated: reviews and product pages of Amazon, published by the McAuley lab "
    "(UCSD) for research; citation is asked for. Check that your use is allowed."
)

ITEMS = {
    "item_id": pl.String,
    "title": pl.String,
    "brand": pl.String,
    "price": pl.Float64,
    "categories": pl.List(pl.String),
}
TEXT = {"description": pl.String}
KINDS: dict[str, FeatureType] = {
    "title": "text",
    "brand": "categorical",
    "price": "numeric",
    "categories": "list",
}


@dataclass(frozen=True)
class Source:
    """One file of reviews: where it is and how it is written.

    Attributes:
        url: with ``{}`` for the category.
        columns: of the file -> of the log: user_id, item_id, rating, timestamp; in file order
            where the file is delimited.
        header: first line of a delimited file that has one; None: it has none.
        is_json: whether every line is a record.
    """

    url: str
    columns: Mapping[str, str]
    header: str | None = None
    is_json: bool = False


class AmazonReader:
    """Reads one review as an event; what the product pages say comes from a second file.

    Subclasses name the release's files and have a ``Config`` with the fields ``category``,
    ``subset``, ``path``, ``download_dir``, ``sha256``, ``metadata``, ``metadata_sha256`` and
    ``description``.

    Args:
        config: the category, the subset and the place.
    """

    named: ClassVar[DatasetInfo]
    sources: ClassVar[Mapping[str, Source]]
    metadata_url: ClassVar[str]
    ticks: ClassVar[int] = 1
    """Of the log's times, a second."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.source = self.sources[config.subset]

    @staticmethod
    def item(record: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of `ITEMS` and `TEXT`, made of a record of the release's metadata."""
        raise NotImplementedError

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the files."""
        files = {"log": self._log(), "metadata": self._metadata()}
        return {kind: file_key(file) for kind, file in files.items() if file is not None}

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the reviews to Parquet, then the metadata of the items that were reviewed."""
        file, metadata = self._log(), self._metadata()
        schema = {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float64,
                  "timestamp": pl.Int64}  # fmt: skip
        if self.ticks > 1:
            schema["order"] = pl.Int64
        with open_member(file, _bare(file), "data.path") as stream:
            log = write_log(self._events(stream, file, schema), schema, scratch / "log.parquet")
        items, kinds = None, {}
        if metadata is not None:
            table = self._items(metadata, scratch / "items.parquet")
            items, kinds = items_of_log(table, log), dict(KINDS)
            if self.config.description:
                kinds["description"] = "text"
        features = Features(items=kinds, events={"rating": "numeric"})
        return RawData(log, items, features=features, about=self.named.about)

    def _events(
        self, stream: IO[bytes], file: Path, schema: Mapping[str, Any]
    ) -> Iterator[pl.DataFrame]:
        """Rows of the log; values of another type than the column's become null."""
        source, where = self.source, f"data.path={file}"
        if source.is_json:
            types = {name: schema[column] for name, column in source.columns.items()}
            frames = json_chunks(stream, types, where)
        else:
            names = list(source.columns)
            frames = delimited_chunks(stream, names, ",", where, header=source.header)
        time = pl.col("timestamp")
        for frame in frames:
            rows = frame.rename(dict(source.columns)).with_columns(
                pl.col("rating").cast(pl.Float64, strict=False), time.cast(pl.Int64, strict=False)
            )
            if self.ticks > 1:  # milliseconds keep apart what shares a second
                rows = rows.with_columns(timestamp=time.floordiv(self.ticks), order=time)
            yield rows.select(pl.col(name).cast(kind) for name, kind in schema.items())

    def _items(self, file: Path, target: Path) -> Path:
        schema: dict[str, Any] = {**ITEMS, **(TEXT if self.config.description else {})}

        def row(record: Mapping[str, Any]) -> dict[str, Any]:
            item = self.item(record)
            return {name: item[name] for name in schema}

        with open_member(file, _bare(file), "data.path") as stream:
            write_chunks(shaped_chunks(stream, schema, row, f"data.path={file}"), schema, target)
        return target

    def _log(self) -> Path:
        url = self.source.url.format(self.config.category)
        found = self._given(_name(url)) if self.config.path is not None else None
        return found or self._fetched(url, self.config.sha256, self.config.subset)

    def _metadata(self) -> Path | None:
        if not self.config.metadata:
            return None
        url = self.metadata_url.format(self.config.category)
        if self.config.path is None:
            return self._fetched(url, self.config.metadata_sha256, "metadata")
        place = Path(self.config.path).expanduser()
        folder = place if place.is_dir() else place.parent
        found = _either(folder, _name(url))
        if found is None:
            raise UserError(
                f"data.path={self.config.path}: {folder} has no {_name(url)} with the items' "
                f"titles. Get it from {url}, or set data.metadata=false"
            )
        return found

    def _given(self, name: str) -> Path:
        """The file that data.path is, or that lies in the folder it is."""
        place = Path(self.config.path).expanduser()
        url = self.source.url.format(self.config.category)
        if not is_there(self.config.path, "data.path"):
            raise UserError(
                f"data.path={self.config.path}: no such file or folder. Pass the official {name} "
                f"({url}) or its folder, or data.path=null to download it"
            )
        if not place.is_dir():
            return place
        found = _either(place, name)
        if found is None:
            raise UserError(
                f"data.path={self.config.path}: has no {name}, the official file of "
                f"data.category={self.config.category} data.subset={self.config.subset}. Get it "
                f"from {url}"
            )
        return found

    def _fetched(self, url: str, sha256: str | None, kind: str) -> Path:
        about = self.named.about
        # A folder for each release and kind: some have files of the same name.
        release = type(self).__module__.rsplit(".", 1)[-1]
        folder = Path(self.config.download_dir).expanduser() / release / kind
        return download(url, None, folder, f"{about.licence} {about.citation}", sha256=sha256)


def _name(url: str) -> str:
    return url.rsplit("/", 1)[-1]


def _bare(file: Path) -> str:
    return file.name.removesuffix(".gz")


def _either(folder: Path, name: str) -> Path | None:
    """The file in a folder, packed or unpacked."""
    files = (folder / name, folder / name.removesuffix(".gz"), folder / f"{name}.gz")
    return next((file for file in files if file.is_file()), None)


def text(value: object) -> str | None:
    """Text as people read it: no HTML entities, no blanks around it; None where there is none."""
    if isinstance(value, list):
        value = " ".join(part for part in value if isinstance(part, str))
    if not isinstance(value, str):
        return None
    # Some pages of 2018 have a piece of the page's script where the title should be.
    plain = "" if "getTime" in value else re.sub(r"\s+", " ", html.unescape(value)).strip()
    return plain or None


def price(value: object) -> float | None:
    """Dollars: 5.0, '$1,299.00', or the lower end of '$12.99 - $24.99'; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    found = re.match(r"\s*(?:from\s*)?\$?\s*(\d[\d,]*(?:\.\d+)?)(?![\w.])", value)
    return float(found[1].replace(",", "")) if found else None


def names(value: object) -> list[str]:
    """Names in a list, or in lists in a list, once each, in order."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return []
    found = [n for part in value for n in (part if isinstance(part, list) else [part])]
    plain = [text(name) for name in found]
    return list(dict.fromkeys(name for name in plain if name is not None))
