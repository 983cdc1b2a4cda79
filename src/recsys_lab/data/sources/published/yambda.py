"""Yambda: listens and likes of Yandex Music (Ploshkin et al., 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import narwhals as nw
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.formats.paths import file_key
from recsys_lab.data.raw import Features, ParquetLog, RawData
from recsys_lab.data.sources.options import DownloadOptions
from recsys_lab.data.sources.published.base import About, DatasetInfo, PublishedDataset
from recsys_lab.data.sources.published.files import as_user_error

URL = "https://huggingface.co/datasets/yandex/yambda/resolve/main"
MAPPINGS = {"artist": "artist_item_mapping.parquet", "album": "album_item_mapping.parquet"}
ONE_TYPE = {
    "listens": "listen",
    "likes": "like",
    "dislikes": "dislike",
    "unlikes": "unlike",
    "undislikes": "undislike",
}
"""The type of the events in a file of one type, as `multi_event` calls it."""

ABOUT = About(
    title="Yambda-5B",
    homepage="https://huggingface.co/datasets/yandex/yambda",
    licence="Apache 2.0; the authors publish it for research.",
    citation="Ploshkin et al. (2025). Yambda-5B: A Large-Scale Multi-modal Dataset for Ranking "
    "And Retrieval. RecSys. https://arxiv.org/abs/2505.22238",
    notes=(
        "Times are seconds since an undisclosed start, rounded to steps of 5: dates mean nothing, "
        "and many events are tied; ties stay in the file's order.",
        "Its protocol is a global temporal split: 300 days of training, a gap of half an hour, "
        "one day of test; see split=global_temporal.",
        "A listen counts as positive (Listen+) when at least half of the track was played: "
        "filter.min_rating=50, because a listen's rating is the played share in per cent. It may "
        "exceed 100 if parts were played again.",
        "An unlike cancels a like; likes.parquet still has the like.",
        "is_organic = 0 marks tracks that the service recommended: feedback loops.",
    ),
)
_SIZES = {
    "50m": "46,467,212 listens, 881,456 likes, 10,000 users, 934,057 tracks",
    "500m": "466,512,103 listens, 9,033,960 likes, 100,000 users, 3,004,578 tracks",
    "5b": "4,649,567,411 listens, 89,334,605 likes, 1,000,000 users, 9,390,623 tracks",
}


class Yambda(PublishedDataset):
    """Reads one event of a user with a track."""

    named: ClassVar[Mapping[str, DatasetInfo]] = {
        size: DatasetInfo(ABOUT, text, "nothing: downloaded") for size, text in _SIZES.items()
    }

    @dataclass(frozen=True)
    class Config(DownloadOptions):
        """Options of `Yambda`.

        Attributes:
            variant: the size: 50m, 500m or 5b events.
            path: a Parquet file of the flat form, or a folder with it; null: download.
            events: which file to read; multi_event has all types.
            item_tables: whether to read the tracks' artists and albums (9 million tracks).
        """

        variant: Literal["50m", "500m", "5b"]
        events: Literal["listens", "likes", "dislikes", "unlikes", "undislikes", "multi_event"]
        item_tables: bool

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        mappings = MAPPINGS.values() if config.item_tables else ()
        self.files = [f"{config.events}.parquet", *mappings]
        self.official = f"{self.files[0]}, or a folder with it"

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the files that are read."""
        return {name: file_key(file) for name, file in self._files().items()}

    def read_raw(self, scratch: Path) -> RawData:
        """The official Parquet file, which the engine scans without a copy."""
        del scratch
        files = self._files()
        file = files["events"]
        with as_user_error(file):
            present = list(pl.read_parquet_schema(file))
        sources = {"user_id": "uid", "item_id": "item_id", "timestamp": "timestamp"}
        missing = [name for name in sources.values() if name not in present]
        if missing:
            raise UserError(
                f"data.path={file}: is not a file of Yambda's flat form: it has no column "
                f"{', '.join(missing)}. Its columns are {', '.join(present)}"
            )
        columns = {name: nw.col(source).cast(nw.Int64) for name, source in sources.items()}
        kinds: dict[str, Any] = {}
        if self.config.events == "multi_event":
            columns["event_type"] = nw.col("event_type").cast(nw.String)
            kinds["event_type"] = "categorical"
        else:
            columns["event_type"] = nw.lit(ONE_TYPE[self.config.events])
        if "is_organic" in present:
            columns["is_organic"] = nw.col("is_organic").cast(nw.Int64)
            kinds["is_organic"] = "categorical"
        for name in ("played_ratio_pct", "track_length_seconds"):
            if name in present:
                columns[name] = nw.col(name).cast(nw.Float64)
                kinds[name] = "numeric"
        if "played_ratio_pct" in columns:
            columns["rating"] = columns["played_ratio_pct"]
        items, item_kinds = _items(files)
        log = ParquetLog((str(file),), columns)
        return RawData(log, items, features=Features(item_kinds, events=kinds), about=self.about)

    def _files(self) -> dict[str, Path]:
        """The events' file and, if they are read, those of artists and albums."""
        config, (log, *mappings) = self.config, self.files
        if config.path is None:
            sized = f"{URL}/flat/{config.variant}/{log}"
            files = [self.fetch(sized, "yambda", config.variant, sha256=config.sha256)]
            files += [self.fetch(f"{URL}/{name}", "yambda") for name in mappings]
        else:
            source = self.source_path()
            file = _in_folder(source, log, config.variant) if source.is_dir() else source
            files = [file, *_tables(source, mappings)]
        return dict(zip(["events", *MAPPINGS], files, strict=False))


def _in_folder(folder: Path, name: str, variant: str) -> Path:
    """The events in a folder; a copy of the whole repository has them in several sizes."""
    folders = [folder, folder / variant, folder / "flat" / variant]
    for sized in folders:
        if (sized / name).is_file():
            return sized / name
    raise UserError(
        f"data.path={folder}: has no {name}; searched {', '.join(map(str, folders))} "
        f"(data.variant={variant})"
    )


def _tables(source: Path, names: list[str]) -> list[Path]:
    """The mappings: in the folder, in the file's folder, or above it as in the repository."""
    start = source if source.is_dir() else source.parent
    files = []
    for name in names:
        folders = (start, *start.resolve().parents[:2])
        file = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if file is None:
            raise UserError(
                f"data.item_tables=true: {name} is not in {start} or above it. Download it from "
                f"{URL}/{name}, or set data.item_tables=false"
            )
        files.append(file)
    return files


def _items(files: dict[str, Path]) -> tuple[pl.DataFrame | None, dict[str, Any]]:
    """item_id with the lists of its artists and albums."""
    items = None
    kinds: dict[str, Any] = {}
    for kind in MAPPINGS:
        if kind not in files:
            continue
        with as_user_error(files[kind]):
            table = (
                pl.scan_parquet(files[kind], glob=False)
                .select(pl.col("item_id").cast(pl.Int64), pl.col(f"{kind}_id").cast(pl.String))
                .group_by("item_id")
                .agg(pl.col(f"{kind}_id").unique().sort().alias(f"{kind}s"))
                .collect(engine="streaming")
            )
        if items is not None:
            table = items.join(table, on="item_id", how="full", coalesce=True)
        items = table
        kinds[f"{kind}s"] = "list"
    return (None if items is None else items.sort("item_id")), kinds
