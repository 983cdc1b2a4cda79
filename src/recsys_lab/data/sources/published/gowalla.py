"""Gowalla: check-ins of a location-based social network (Cho, Myers and Leskovec, 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from recsys_lab.data.features.first_values import plain_from_log
from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.about import About, DatasetInfo
from recsys_lab.data.sources.published.files import (
    content_key,
    fetch,
    number,
    place_of,
    require_form,
    scan_text,
    sink_log,
    unpacked,
    whole,
)

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://snap.stanford.edu/data/loc-gowalla_totalCheckins.txt.gz"
LOG = "loc-gowalla_totalCheckins.txt"
COLUMNS = ("user", "time", "latitude", "longitude", "location")

NAMED = DatasetInfo(
    about=About(
        title="Gowalla check-ins (SNAP)",
        homepage="https://snap.stanford.edu/data/loc-gowalla.html",
        licence="None is stated; SNAP publishes it for research and asks for citation.",
        citation="Cho, Myers and Leskovec (2011). Friendship and Mobility: User Movement in "
        "Location-Based Social Networks. KDD. https://doi.org/10.1145/2020408.2020579",
        notes=(
            "The file is newest first; it is turned around here, so that check-ins of one second "
            "stay in the order in which they happened.",
            "People check in at the same place again and again: whether repeats count as hits "
            "changes results more than models do; see filter.drop_consecutive_repeats.",
            "The widely used version with 29,858 users and 40,981 places is a 10-core without "
            "times, split at random: numbers on it are not comparable.",
        ),
    ),
    size="6,442,890 check-ins, 107,092 users, 1,280,969 places; 105 MB",
    needs="nothing: downloaded",
)


class Gowalla:
    """Reads one check-in as an event; places have coordinates.

    Args:
        config: the place of the file.
    """

    named = NAMED

    @dataclass(frozen=True)
    class Config:
        """Options of `Gowalla`.

        Attributes:
            path: the official file, also unpacked, or its folder; null: download.
            download_dir: where a downloaded file is kept.
            sha256: of the downloaded file, checked where it is given.
        """

        path: str | None
        download_dir: str
        sha256: str | None

    def __init__(self, config: Config) -> None:
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the file."""
        return content_key(self._place(), [LOG])

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the check-ins to Parquet, oldest first."""
        file = unpacked(self._place(), [LOG], scratch)[LOG]
        form = "'user TAB time TAB latitude TAB longitude TAB location'"
        require_form(file, r"\d+\t[\dTZ:-]+\t[^\t]*\t[^\t]*\t\d+$", form)
        text = scan_text(file, COLUMNS, "\t", header=False, quoted=False)
        time = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False, time_unit="us")
        rows = text.select(
            user_id=whole("user"),
            item_id=whole("location"),
            timestamp=time.dt.epoch("s"),
            latitude=number("latitude"),
            longitude=number("longitude"),
        )
        log = sink_log(rows, file, scratch / "log.parquet", turned=True)
        kinds: dict[str, Any] = {"latitude": "numeric", "longitude": "numeric"}
        # A place's check-ins agree on where it is, up to a few that were moved.
        log, places = plain_from_log(log, kinds, "item")
        return RawData(
            log, from_log={"item": places}, features=Features(items=kinds), about=NAMED.about
        )

    def _place(self) -> Path:
        config = self.config
        if config.path is None:
            return fetch(URL, config.download_dir, NAMED, sha256=config.sha256)
        return place_of(config.path, f"{LOG}.gz or the unpacked file")
