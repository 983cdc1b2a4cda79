"""Yoochoose: sessions of a European shop (RecSys Challenge 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.base import About, DatasetInfo, PublishedDataset
from recsys_lab.data.sources.published.files import (
    blank_to_null,
    require_form,
    scan_text,
    seconds_and_order,
    sink_log,
    to_float,
    to_int,
)

CLICKS, BUYS = "yoochoose-clicks.dat", "yoochoose-buys.dat"
ARCHIVE = "https://s3-eu-west-1.amazonaws.com/yc-rdata/yoochoose-data.7z"
COLUMNS = {
    CLICKS: ("session", "time", "item", "category"),
    BUYS: ("session", "time", "item", "price", "quantity"),
}
_BEGIN = r"\d+,\d{4}-\d\d-\d\dT[\d:.]+Z,\d+,"
LINES = {CLICKS: rf"{_BEGIN}[^,]*$", BUYS: rf"{_BEGIN}[^,]*,[^,]*$"}

NAMED = DatasetInfo(
    about=About(
        title="YOOCHOOSE, RecSys Challenge 2015",
        homepage="https://recsys.acm.org/recsys15/challenge/",
        licence="CC BY-NC-ND 4.0",
        citation="Ben-Shimon et al. (2015). RecSys Challenge 2015 and the YOOCHOOSE Dataset. "
        "RecSys. https://doi.org/10.1145/2792838.2798723",
        notes=(
            "A session is a user: people are not identified across sessions, and sessions are "
            "short.",
            "'Yoochoose 1/64' and '1/4' in papers are the latest 1/64 and 1/4 of the training "
            "sessions, with the last day as test and items of fewer than 5 clicks removed: state "
            "which; filter.start selects such a part.",
            "The category is the context of a click (S: special offer, 1 to 12: category, longer "
            "numbers: brand), not a property of the item; 0 means missing.",
            "Buys follow the clicks of their session and repeat their items; many have price and "
            "quantity 0, which means missing.",
            "yoochoose-test.dat, the challenge's test without buys, is not read.",
        ),
    ),
    size="33,003,944 clicks, 1,150,753 buys, 9,249,729 sessions, 52,739 items; 1.5 GB unpacked",
    needs="yoochoose-data.7z, unpacked with 7z",
)


class Yoochoose(PublishedDataset):
    """Reads one click or one line of a buy as an event; a session is a user."""

    named = NAMED
    official = "its unpacked folder"
    obtain = f"download it from {ARCHIVE} (a 7z archive; unpack it: 7z x)"

    @dataclass(frozen=True)
    class Config:
        """Options of `Yoochoose`.

        Attributes:
            path: the unpacked folder, or one of its files (the other one is in the same folder).
            events: which file to read; both: their events have the types 'click' and 'buy'.
        """

        path: str | None
        events: Literal["clicks", "buys", "both"]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        names = {"clicks": [CLICKS], "buys": [BUYS], "both": [CLICKS, BUYS]}
        self.files = names[config.events]

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the events to Parquet: the clicks, then the buys."""
        files = self.unpacked(scratch)
        parts = []
        for name, file in files.items():
            require_form(file, LINES[name], f"'{','.join(COLUMNS[name])}'")
            parts.append(_clicks(file) if name == CLICKS else _buys(file))
        kinds: dict[str, Any] = {}
        if CLICKS in files:
            kinds["category"] = "categorical"
        if BUYS in files:
            kinds |= {"price": "numeric", "quantity": "numeric"}
        if len(files) == 2:
            kinds["event_type"] = "categorical"
        frame = pl.concat(parts, how="diagonal")
        log = sink_log(frame, next(iter(files.values())), scratch / "log.parquet")
        return RawData(log, features=Features(events=kinds), about=self.about)

    def source_path(self) -> Path:
        """The unpacked folder, or one of its files."""
        source = super().source_path()
        if source.suffix == ".7z":
            raise UserError(
                f"data.path={source}: is a 7z archive; unpack it (7z x) and pass {self.official}"
            )
        return source


def _clicks(file: Path) -> pl.LazyFrame:
    text = scan_text(file, COLUMNS[CLICKS], ",", header=False)
    category = blank_to_null("category")
    return text.select(
        user_id=to_int("session"),
        item_id=to_int("item"),
        **_time(),
        event_type=pl.lit("click"),
        category=pl.when(category != "0").then(category),
    )


def _buys(file: Path) -> pl.LazyFrame:
    text = scan_text(file, COLUMNS[BUYS], ",", header=False)
    known = {
        name: pl.when(to_float(name) > 0).then(to_float(name)) for name in ("price", "quantity")
    }
    return text.select(
        user_id=to_int("session"),
        item_id=to_int("item"),
        **_time(),
        event_type=pl.lit("buy"),
        **known,
    )


def _time() -> dict[str, pl.Expr]:
    moment = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", strict=False, time_unit="ms")
    return seconds_and_order(moment.dt.epoch("ms"))
