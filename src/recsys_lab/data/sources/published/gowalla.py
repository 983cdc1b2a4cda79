"""Gowalla: check-ins of a location-based social network (Cho, Myers and Leskovec, 2011)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.options import DownloadOptions
from recsys_lab.data.sources.published.base import About, DatasetInfo, PublishedDataset
from recsys_lab.data.sources.published.files import (
    require_form,
    scan_text,
    sink_log,
    to_float,
    to_int,
)

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
            "The file is newest first; it is reversed here, so that check-ins of one second are in "
            "the order in which they happened.",
            "People check in repeatedly at the same place: whether repeats count as hits "
            "changes results more than models do; see filter.drop_consecutive_repeats.",
            "The widely used version with 29,858 users and 40,981 places is a 10-core without "
            "times, split at random: numbers on it are not comparable.",
        ),
    ),
    size="6,442,890 check-ins, 107,092 users, 1,280,969 places; 105 MB",
    needs="nothing: downloaded",
)


class Gowalla(PublishedDataset):
    """Reads one check-in at a place, which has coordinates, as an event."""

    named = NAMED
    official = f"{LOG}.gz or the unpacked file"
    url = "https://snap.stanford.edu/data/loc-gowalla_totalCheckins.txt.gz"
    files = (LOG,)

    @dataclass(frozen=True)
    class Config(DownloadOptions):
        """Options of `Gowalla`."""

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the check-ins to Parquet, oldest first."""
        from recsys_lab.data.features.first_values import plain_from_log  # imports pyarrow

        file = self.unpacked(scratch)[LOG]
        form = "'user TAB time TAB latitude TAB longitude TAB location'"
        require_form(file, r"\d+\t[\dTZ:-]+\t[^\t]*\t[^\t]*\t\d+$", form)
        text = scan_text(file, COLUMNS, "\t", header=False, quoted=False)
        time = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False, time_unit="us")
        rows = text.select(
            user_id=to_int("user"),
            item_id=to_int("location"),
            timestamp=time.dt.epoch("s"),
            latitude=to_float("latitude"),
            longitude=to_float("longitude"),
        )
        log = sink_log(rows, file, scratch / "log.parquet", reverse=True)
        kinds: dict[str, Any] = {"latitude": "numeric", "longitude": "numeric"}
        # Check-ins of a place agree on its coordinates, except for a few places.
        log, places = plain_from_log(log, kinds, "item")
        return RawData(
            log, from_log={"item": places}, features=Features(items=kinds), about=self.about
        )
