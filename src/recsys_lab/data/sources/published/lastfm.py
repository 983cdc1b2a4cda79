"""Last.fm 1K users: full listening histories (Celma, 2010)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.options import DownloadOptions
from recsys_lab.data.sources.published.base import About, DatasetInfo, PublishedDataset
from recsys_lab.data.sources.published.files import (
    blank_to_null,
    collect_table,
    require_form,
    scan_text,
    sink_log,
    to_float,
)

LOG = "userid-timestamp-artid-artname-traid-traname.tsv"
USERS = "userid-profile.tsv"
COLUMNS = ("user", "time", "artist_id", "artist", "track_id", "track")

NAMED = DatasetInfo(
    about=About(
        title="Last.fm Dataset - 1K users",
        homepage="http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html",
        licence="Distributed with permission of Last.fm for non-commercial use.",
        citation="Celma, Ò. (2010). Music Recommendation and Discovery in the Long Tail. Springer.",
        notes=(
            "'LastFM' in papers also names the HetRec 2011 set (2K users, play counts without "
            "times) and artist-level versions of this one: choose data.item=track or artist.",
            "Many listens are repeats of the same track or album in order; a model that copies "
            "the last item is a strong baseline. See filter.drop_consecutive_repeats.",
            "A tenth of the tracks have no MusicBrainz id: their id is artist and track name.",
            "Histories end on 5 May 2009; a few listens have later times of wrong clocks: set "
            "filter.end=2009-06-01 before a split by time.",
        ),
    ),
    size="19,150,868 listens, 992 users, 177,000 artists; 642 MB (2.4 GB unpacked)",
    needs="nothing: downloaded",
)


class LastFM(PublishedDataset):
    """Reads one listen as an event, of a track or of its artist."""

    named = NAMED
    official = "lastfm-dataset-1K.tar.gz or its unpacked folder"
    url = "http://mtg.upf.edu/static/datasets/last.fm/lastfm-dataset-1K.tar.gz"
    files = (LOG,)
    optional = (USERS,)

    @dataclass(frozen=True)
    class Config(DownloadOptions):
        """Options of `LastFM`.

        Attributes:
            item: whether items are tracks or artists, by their MusicBrainz ids or, if missing,
                by their names.
        """

        item: Literal["track", "artist"]

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the listens to Parquet, oldest first."""
        from recsys_lab.data.features.first_values import plain_from_log  # imports pyarrow

        files = self.unpacked(scratch)
        file = files[LOG]
        form = "'user TAB time TAB artist id TAB artist TAB track id TAB track'"
        require_form(file, r"[^\t]+\t[\dTZ:-]+\t[^\t]*\t[^\t]*\t[^\t]*\t", form)
        text = scan_text(file, COLUMNS, "\t", header=False, quoted=False)
        time = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False, time_unit="us")
        name = pl.concat_str(blank_to_null("artist"), blank_to_null("track"), separator=" - ")
        key, title = (
            ("track_id", name)
            if self.config.item == "track"
            else ("artist_id", blank_to_null("artist"))
        )
        rows = text.select(
            user_id=blank_to_null("user"),
            item_id=pl.coalesce(blank_to_null(key), title),
            timestamp=time.dt.epoch("s"),
            title=title,
            artist=blank_to_null("artist"),
        )
        log = sink_log(rows, file, scratch / "log.parquet", reverse=True)
        kinds: dict[str, Any] = {"artist": "categorical"} if self.config.item == "track" else {}
        people: dict[str, Any] = {
            "gender": "categorical",
            "age": "numeric",
            "country": "categorical",
        }
        users = _profiles(files[USERS]) if USERS in files else None
        events, items = plain_from_log(log, ("title", "artist"), "item")
        return RawData(
            events,
            users=users,
            from_log={"item": items},
            features=Features(items=kinds, users=people if users is not None else {}),
            about=self.about,
        )


def _profiles(file: Path) -> pl.DataFrame:
    """user_id, gender, age, country, registered; all but the first may be null."""
    text = scan_text(
        file, ("#id", "gender", "age", "country", "registered"), "\t", header=True, quoted=False
    )
    rows = text.select(
        user_id=blank_to_null("#id"),
        gender=blank_to_null("gender"),
        age=to_float("age"),
        country=blank_to_null("country"),
        registered=blank_to_null("registered"),
    )
    return collect_table(rows, file, "user_id")
