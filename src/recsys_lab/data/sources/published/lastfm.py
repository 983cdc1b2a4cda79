"""Last.fm 1K users: whole listening histories (Celma, 2010)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from recsys_lab.data.features.first_values import plain_from_log
from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.about import About, DatasetInfo
from recsys_lab.data.sources.published.files import (
    content_key,
    fetch,
    filled,
    number,
    place_of,
    require_form,
    scan_text,
    sink_log,
    told,
    unpacked,
)

if TYPE_CHECKING:
    from pathlib import Path

URL = "http://mtg.upf.edu/static/datasets/last.fm/lastfm-dataset-1K.tar.gz"
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
            "times) and artist-level versions of this one: say data.item=track or artist.",
            "Many listens are repeats of the same track or album in order; a model that copies "
            "the last item is a strong baseline. See filter.drop_consecutive_repeats.",
            "About a tenth of the tracks has no MusicBrainz id: artist and track name stand in.",
            "Histories end on 5 May 2009; a few listens carry later times of wrong clocks: set "
            "filter.end=2009-06-01 before a split by time.",
        ),
    ),
    size="19,150,868 listens, 992 users, 177,000 artists; 642 MB (2.4 GB unpacked)",
    needs="nothing: downloaded",
)


class LastFM:
    """Reads one listen as an event, of a track or of its artist.

    Args:
        config: the place of the files, and what an item is.
    """

    named = NAMED

    @dataclass(frozen=True)
    class Config:
        """Options of `LastFM`.

        Attributes:
            path: the official archive, its unpacked folder, or the log's file; null: download.
            download_dir: where a downloaded archive is kept.
            sha256: of the downloaded archive, checked where it is given.
            item: what is recommended: tracks or artists. The MusicBrainz id, or the name where
                there is none.
        """

        path: str | None
        download_dir: str
        sha256: str | None
        item: Literal["track", "artist"]

    def __init__(self, config: Config) -> None:
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the archive or of its files."""
        return content_key(self._place(), [LOG, USERS])

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the listens to Parquet, oldest first."""
        files = unpacked(self._place(), [LOG], scratch, optional=[USERS])
        file = files[LOG]
        form = "'user TAB time TAB artist id TAB artist TAB track id TAB track'"
        require_form(file, r"[^\t]+\t[\dTZ:-]+\t[^\t]*\t[^\t]*\t[^\t]*\t", form)
        text = scan_text(file, COLUMNS, "\t", header=False, quoted=False)
        time = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", strict=False, time_unit="us")
        name = pl.concat_str(filled("artist"), filled("track"), separator=" - ")
        key, title = (
            ("track_id", name) if self.config.item == "track" else ("artist_id", filled("artist"))
        )
        rows = text.select(
            user_id=filled("user"),
            item_id=pl.coalesce(filled(key), title),
            timestamp=time.dt.epoch("s"),
            title=title,
            artist=filled("artist"),
        )
        log = sink_log(rows, file, scratch / "log.parquet", turned=True)
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
            about=NAMED.about,
        )

    def _place(self) -> Path:
        config = self.config
        if config.path is None:
            return fetch(URL, config.download_dir, NAMED, sha256=config.sha256)
        return place_of(config.path, "lastfm-dataset-1K.tar.gz or its unpacked folder")


def _profiles(file: Path) -> pl.DataFrame:
    """user_id, gender, age, country, registered; only the first is always there."""
    text = scan_text(
        file, ("#id", "gender", "age", "country", "registered"), "\t", header=True, quoted=False
    )
    with told(file):
        return text.select(
            user_id=filled("#id"),
            gender=filled("gender"),
            age=number("age"),
            country=filled("country"),
            registered=filled("registered"),
        ).collect()
