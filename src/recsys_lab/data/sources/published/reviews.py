"""Datasets of reviews: one record per line, and a second file with metadata of the items."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.formats.archives import open_member
from recsys_lab.data.formats.chunks import shaped_chunks, write_chunks
from recsys_lab.data.formats.paths import file_key
from recsys_lab.data.raw import Features, FeatureType, RawData
from recsys_lab.data.sources.published.base import OPTION, PublishedDataset
from recsys_lab.data.sources.published.files import items_of_log, write_log

STORED: Mapping[str | None, Any] = {"numeric": pl.Float64, "list": pl.List(pl.String)}
"""Feature type -> polars type of an item column; strings for other types."""

RATING: Mapping[str, FeatureType] = {"rating": "numeric"}


class ReviewDataset(PublishedDataset):
    """Reads one review as an event.

    The ``Config`` of a subclass also has the option ``metadata``, whether to read the items' file,
    and, if that can be downloaded, ``metadata_sha256``.

    Args:
        config: location of the files, and what to read.

    Attributes:
        metadata_url: of the items' file; `url` is that of the reviews.
        folders: subfolders of ``data.download_dir`` for the reviews, and for the items.
        chosen: the options that choose the reviews' file, for messages.
        log: columns of the log, and their types.
        events: columns of the log that models may read.
        items: columns of the items besides the id -> feature type; None: models do not read it.
        keys: column of the items -> its key in a record, if different.
    """

    metadata_url: str
    folders: tuple[Sequence[str], Sequence[str]] = ((), ())
    chosen = ""
    log: Mapping[str, Any]
    events: Mapping[str, FeatureType] = RATING
    items: Mapping[str, FeatureType | None]
    keys: ClassVar[Mapping[str, str]]

    def rows(self, stream: IO[bytes], where: str) -> Iterator[pl.DataFrame]:
        """The reviews in chunks, with the columns of `log`."""
        raise NotImplementedError

    def item(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """``item_id`` and the columns of `items` from a record of the items' file."""
        keys = self.keys
        values = {
            name: READERS.get(kind, text)(record.get(keys.get(name, name)))
            for name, kind in self.items.items()
        }
        return {"item_id": record.get(keys["item_id"]), **values}

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the files."""
        located = zip(("log", "metadata"), self.locate(), strict=False)
        return {kind: file_key(file) for kind, file in located}

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the reviews to Parquet, then the items that were reviewed."""
        file, *others = self.locate()
        with open_member(file, self.files[0], OPTION) as stream:
            reviews = self.rows(stream, self._where(file, self.files[0]))
            log = write_log(reviews, self.log, scratch / "log.parquet")
        if not others:
            return RawData(log, features=Features(events=self.events), about=self.about)
        [file], target = others, scratch / "items.parquet"
        schema = {"item_id": pl.String} | {
            name: STORED.get(kind, pl.String) for name, kind in self.items.items()
        }
        with open_member(file, self.files[1], OPTION) as stream:
            where = self._where(file, self.files[1])
            write_chunks(shaped_chunks(stream, schema, self.item, where), schema, target)
        kinds = {name: kind for name, kind in self.items.items() if kind is not None}
        features = Features(items=kinds, events=self.events)
        return RawData(log, items_of_log(target, log), features=features, about=self.about)

    def locate(self) -> list[Path]:
        """The file of the reviews and, if it is read, that of the items.

        Raises:
            UserError: a file is absent.
        """
        config, urls = self.config, [self.url or "", self.metadata_url]
        if config.path is None:
            pins = [config.sha256, config.metadata_sha256]
            return [
                self.fetch(url, *folders, sha256=pin)
                for url, folders, pin in zip(urls, self.folders, pins, strict=True)
                if url != self.metadata_url or config.metadata
            ]
        source = self.source_path()
        folder = source if source.is_dir() else source.parent
        files = [self._in_folder(folder, urls[0], self.chosen) if source.is_dir() else source]
        if config.metadata:
            otherwise = " with the items' titles", ", or set data.metadata=false"
            files.append(self._in_folder(folder, self.metadata_url, *otherwise))
        return files

    def _in_folder(self, folder: Path, url: str, what: str, otherwise: str = "") -> Path:
        """A file in a folder, packed or unpacked."""
        name = url.rsplit("/", 1)[-1]
        files = (folder / name, folder / name.removesuffix(".gz"), folder / f"{name}.gz")
        for file in files:
            if file.is_file():
                return file
        raise UserError(
            f"{OPTION}={self.config.path}: {folder} has no {name}{what}. Download it from {url}"
            f"{otherwise}"
        )

    def _where(self, file: Path, name: str) -> str:
        """Name of a file in errors, with the member of an archive."""
        inside = "" if file.name.removesuffix(".gz") == name else f": {name}"
        return f"{OPTION}={file}{inside}"


def text(value: object) -> str | None:
    """Readable text: stripped, without HTML entities; None if blank or not a text."""
    if isinstance(value, list):
        value = " ".join(part for part in value if isinstance(part, str))
    if not isinstance(value, str):
        return None
    # Some titles of 2018 are pieces of the page's script.
    plain = "" if "getTime" in value else re.sub(r"\s+", " ", html.unescape(value)).strip()
    return plain or None


def price(value: object) -> float | None:
    """Dollars: 5.0, '$1,299.00', or the lower end of '$12.99 - $24.99'; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    match = re.match(r"\s*(?:from\s*)?\$?\s*(\d[\d,]*(?:\.\d+)?)(?![\w.])", value)
    return float(match[1].replace(",", "")) if match else None


def names(value: object) -> list[str]:
    """Distinct names in a list, or in a list of lists, in order."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return []
    flat = [text(n) for part in value for n in (part if isinstance(part, list) else [part])]
    return list(dict.fromkeys(name for name in flat if name is not None))


READERS: Mapping[str | None, Callable[[object], Any]] = {"numeric": price, "list": names}
"""Feature type -> parser of an item value; `text` for other types."""
