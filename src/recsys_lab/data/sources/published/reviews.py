"""Datasets of reviews: one record a line, and a second file with what is known of the items."""

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
"""How a column of the items is stored; as a string where it is of another type."""

RATING: Mapping[str, FeatureType] = {"rating": "numeric"}


class ReviewDataset(PublishedDataset):
    """Reads one review as an event.

    A subclass has a ``Config`` with the option ``metadata`` too, whether the items' file is read,
    and, where it can be downloaded, ``metadata_sha256``.

    Args:
        config: where the files are, and what is read of them.

    Attributes:
        metadata_url: of the items' file; `url` is that of the reviews.
        folders: below ``data.download_dir`` of the reviews, and of the items.
        chosen: which options choose the reviews' file, for messages.
        log: columns of the log, and their types.
        events: those that models may read.
        items: columns of the items besides the id; None: no model reads it.
        keys: what ``item_id`` and other columns of the items are called in a record, where that
            differs.
    """

    metadata_url: str
    folders: tuple[Sequence[str], Sequence[str]] = ((), ())
    chosen = ""
    log: Mapping[str, Any]
    events: Mapping[str, FeatureType] = RATING
    items: Mapping[str, FeatureType | None]
    keys: ClassVar[Mapping[str, str]]

    def rows(self, stream: IO[bytes], where: str) -> Iterator[pl.DataFrame]:
        """The reviews, a part at a time, with the columns of `log`."""
        raise NotImplementedError

    def item(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """``item_id`` and the columns of `items`, made of a record of the items' file."""
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
        """The file of the reviews and, where it is read, that of the items.

        Raises:
            UserError: when one is absent.
        """
        config, urls = self.config, [self.url or "", self.metadata_url]
        if config.path is None:
            pins = [config.sha256, config.metadata_sha256]
            return [
                self.fetch(url, *folders, sha256=pin)
                for url, folders, pin in zip(urls, self.folders, pins, strict=True)
                if url != self.metadata_url or config.metadata
            ]
        place = self.place()
        folder = place if place.is_dir() else place.parent
        found = [self._beside(folder, urls[0], self.chosen) if place.is_dir() else place]
        if config.metadata:
            otherwise = " with the items' titles", ", or set data.metadata=false"
            found.append(self._beside(folder, self.metadata_url, *otherwise))
        return found

    def _beside(self, folder: Path, url: str, what: str, otherwise: str = "") -> Path:
        """A file in a folder, packed or unpacked."""
        name = url.rsplit("/", 1)[-1]
        files = (folder / name, folder / name.removesuffix(".gz"), folder / f"{name}.gz")
        for file in files:
            if file.is_file():
                return file
        raise UserError(
            f"{OPTION}={self.config.path}: {folder} has no {name}{what}. Get it from {url}"
            f"{otherwise}"
        )

    def _where(self, file: Path, name: str) -> str:
        """A file as errors name it; of an archive, the file inside."""
        inside = "" if file.name.removesuffix(".gz") == name else f": {name}"
        return f"{OPTION}={file}{inside}"


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


READERS: Mapping[str | None, Callable[[object], Any]] = {"numeric": price, "list": names}
"""What makes a column of items of a value; `text` for the other types."""
