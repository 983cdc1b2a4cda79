"""Amazon reviews: shared code of the releases of 2014, 2018 and 2023."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, ClassVar

import polars as pl

from recsys_lab.data.formats.chunks import delimited_chunks, json_chunks
from recsys_lab.data.raw import FeatureType
from recsys_lab.data.sources.options import DownloadOptions
from recsys_lab.data.sources.published.reviews import ReviewDataset

LICENCE = (
    "No licence is stated: reviews and product pages of Amazon, published by the McAuley lab "
    "(UCSD) for research; citation is requested. Check that your use is allowed."
)

LOG = {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float64, "timestamp": pl.Int64}
JSON_COLUMNS = {
    "reviewerID": "user_id",
    "asin": "item_id",
    "overall": "rating",
    "unixReviewTime": "timestamp",
}
"""Key of a review of 2014 and 2018 -> column of the log."""
ITEMS: Mapping[str, FeatureType | None] = {
    "title": "text",
    "brand": "categorical",
    "price": "numeric",
    "categories": "list",
}


@dataclass(frozen=True)
class Source:
    """Location and format of a file of reviews.

    Attributes:
        url: with ``{}`` for the category.
        columns: column of the file -> column of the log (user_id, item_id, rating, timestamp); in
            file order for a delimited file.
        header: first line of a delimited file; None: no header.
        is_json: whether every line is a JSON record.
    """

    url: str
    columns: Mapping[str, str] = field(default_factory=lambda: JSON_COLUMNS)
    header: str | None = None
    is_json: bool = False


@dataclass(frozen=True)
class AmazonOptions(DownloadOptions):
    """Options of all releases.

    Attributes:
        path: the official file of reviews, also unpacked, or its folder, which also has the
            metadata. Null: download.
        download_dir: folder of downloaded files, with a subfolder for each release.
        metadata: whether to read titles, brands, prices and categories.
        metadata_sha256: expected hash of the downloaded metadata, or null.
        description: whether to read the items' descriptions, too.
    """

    metadata: bool
    metadata_sha256: str | None
    description: bool


class AmazonReader(ReviewDataset):
    """Reads one review as an event; product metadata comes from a second file.

    Subclasses name the release's files and have a ``Config`` with `AmazonOptions`, ``category`` and
    ``subset``.

    Args:
        config: the category, the subset and the location.
    """

    sources: ClassVar[Mapping[str, Source]]
    ticks: ClassVar[int] = 1
    """Units of the log's times per second."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.source = self.sources[config.subset]
        self.url = self.source.url.format(config.category)
        self.metadata_url = self.metadata_url.format(config.category)
        urls = self.url, self.metadata_url
        names = [url.rsplit("/", 1)[-1] for url in urls]
        self.files = [name.removesuffix(".gz") for name in names]
        # A folder for each release and kind: some have files of the same name.
        release = type(self).__module__.rsplit(".", 1)[-1]
        self.folders = (release, config.subset), (release, "metadata")
        self.official = f"the official {names[0]} ({self.url}) or its folder"
        chosen = f"data.category={config.category} data.subset={config.subset}"
        self.chosen = f", the official file of {chosen}"
        self.log = LOG | ({"order": pl.Int64} if self.ticks > 1 else {})
        self.items = {**ITEMS, "description": "text"} if config.description else ITEMS

    def rows(self, stream: IO[bytes], where: str) -> Iterator[pl.DataFrame]:
        """Rows of the log; values of another type than the column's become null."""
        columns = self.source.columns
        if self.source.is_json:
            types = {name: self.log[column] for name, column in columns.items()}
            frames = json_chunks(stream, types, where)
        else:
            frames = delimited_chunks(stream, list(columns), ",", where, header=self.source.header)
        time = pl.col("timestamp")
        for frame in frames:
            rows = frame.rename(dict(columns)).with_columns(
                pl.col("rating").cast(pl.Float64, strict=False), time.cast(pl.Int64, strict=False)
            )
            if self.ticks > 1:  # milliseconds sort the events of one second
                rows = rows.with_columns(timestamp=time.floordiv(self.ticks), order=time)
            yield rows.select(pl.col(name).cast(kind) for name, kind in self.log.items())
