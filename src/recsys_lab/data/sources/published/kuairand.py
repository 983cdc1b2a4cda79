"""KuaiRand: short videos, some shown at random (Gao et al., 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl

from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.options import DownloadOptions
from recsys_lab.data.sources.published.base import About, DatasetInfo, PublishedDataset
from recsys_lab.data.sources.published.files import (
    as_user_error,
    blank_to_null,
    collect_table,
    scan_text,
    seconds_and_order,
    sink_log,
    to_float,
    to_int,
)

URL = "https://zenodo.org/records/10439422/files"
MD5 = {  # as published by Zenodo
    "pure": "0820331067a3784d9691136f772b35a7",
    "1k": "6b0b9c8222d67fcd4c676218edca3f1f",
    "27k": "3e3c799a24e2d23a4d2c757fbf9adf59",
}
ARCHIVES = {"pure": "KuaiRand-Pure", "1k": "KuaiRand-1K", "27k": "KuaiRand-27K"}
USERS: dict[str, Any] = dict.fromkeys(
    (
        "user_active_degree",
        "is_live_streamer",
        "is_video_author",
        *(f"{of}_user_num_range" for of in ("follow", "fans", "friend")),
        "register_days_range",
        *(f"onehot_feat{number}" for number in range(18)),
    ),
    "categorical",
)
VIDEOS: dict[str, Any] = {
    "author_id": "categorical",
    "video_type": "categorical",
    "upload_type": "categorical",
    "video_duration": "numeric",
    "music_id": "categorical",
    "tag": "list",
}
Signal = Literal[
    "is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view"
]

ABOUT = About(
    title="KuaiRand",
    homepage="https://kuairand.com",
    licence="CC BY-SA 4.0",
    citation="Gao et al. (2022). KuaiRand: An Unbiased Sequential Recommendation Dataset with "
    "Randomly Exposed Videos. CIKM. https://doi.org/10.1145/3511808.3557624",
    notes=(
        "A row is an exposure, not a choice: without data.signals, skipped videos are events, too, "
        "and the model learns what the app showed.",
        "Pure only has the 7,583 candidate videos, so histories have gaps. Its authors recommend "
        "1K or 27K for sequential models.",
        "The randomly shown videos (is_rand = 1) come from an intervention of 22 April to 8 May "
        "2022: an unbiased test, but other training data. Choose with data.logs.",
        "Leak: video_features_statistic counts the whole period, including the test; it is not "
        "read. The users' table is a snapshot, too.",
        "is_click means a click in the two-column page and a valid play in the one-column page; "
        "tab is the page.",
    ),
)
_SIZES = {
    "pure": ("1,436,609 exposures, 1,186,059 random, 27,285 users, 7,583 videos; 47 MB", ""),
    "1k": ("11,713,045 exposures, 43,028 random, 1,000 users, 4,369,953 videos; 1.1 GB", ""),
    "27k": (
        "322,278,385 exposures, 1,186,059 random, 27,285 users, 32,038,725 videos; 9.9 GB",
        " (unpack it first: 46 GB)",
    ),
}


class KuaiRand(PublishedDataset):
    """Reads one exposure, or one with a signal such as a click, as an event."""

    named: ClassVar[Mapping[str, DatasetInfo]] = {
        name: DatasetInfo(ABOUT, size, f"nothing: downloaded{hint}", has_md5=True)
        for name, (size, hint) in _SIZES.items()
    }

    @dataclass(frozen=True)
    class Config(DownloadOptions):
        """Options of `KuaiRand`.

        Attributes:
            variant: the edition.
            path: the official archive or its unpacked folder; null: download.
            logs: exposures of the app's own policies, of the random intervention, or both.
            signals: exposures without any of these signals are dropped and counted; an event's
                type is its first signal in this list. null: every exposure, of type 'exposure'.
            item_tables: whether to read the videos' basic features.
            rewards: signals to store as numeric columns of the events, 1 or 0: feedback to an
                exposure, for off-policy estimates (with signals=null, so that all are events).
        """

        variant: Literal["pure", "1k", "27k"]
        logs: Literal["standard", "random", "both"]
        signals: list[Signal] | None
        item_tables: bool
        rewards: list[Signal] = field(default_factory=list, kw_only=True)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        name = config.variant
        archive = f"{ARCHIVES[name]}.tar.gz"
        self.official = f"{archive} or its unpacked folder"
        self.url, self.md5 = f"{URL}/{archive}", MD5[name]
        parts = ("_part1", "_part2") if name == "27k" else ("",)
        logs = []  # oldest first
        if config.logs != "random":
            for days in ("4_08_to_4_21", "4_22_to_5_08"):
                logs += [f"log_standard_{days}_{name}{part}.csv" for part in parts]
        if config.logs != "standard":
            logs.append(f"log_random_4_22_to_5_08_{name}.csv")
        videos = [f"video_features_basic_{name}.csv"] if config.item_tables else []
        self.files, self.optional = logs, [f"user_features_{name}.csv", *videos]

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the logs to Parquet, in the order of their dates."""
        files = self.unpacked(scratch)
        signals = list(self.config.signals or [])
        rewards = list(self.config.rewards)
        parts = [_exposures(files[name], signals, rewards) for name in self.files]
        first = files[self.files[0]]
        everything = pl.concat(parts)
        kept = everything.filter(pl.col("event_type").is_not_null())
        log = sink_log(kept, first, scratch / "log.parquet")
        dropped = {}
        if signals:
            with as_user_error(first):
                total = int(everything.select(pl.len()).collect(engine="streaming").item())
            kept_rows = int(
                pl.scan_parquet(log.files[0], glob=False).select(pl.len()).collect().item()
            )
            dropped[f"exposure without {' or '.join(signals)}"] = total - kept_rows
        tables = {name.split("_")[0]: files[name] for name in self.optional if name in files}
        users = _table(tables["user"], "user_id", USERS) if "user" in tables else None
        videos = None
        if "video" in tables:
            seen = pl.scan_parquet(log.files[0], glob=False).select("item_id").unique()
            videos = _table(tables["video"], "video_id", VIDEOS, seen)
        kinds: dict[str, Any] = {"is_rand": "categorical", "tab": "categorical"}
        kinds |= dict.fromkeys(("play_time_ms", *rewards), "numeric")
        if len(signals) > 1:
            kinds["event_type"] = "categorical"
        of_items, of_users = ({} if videos is None else VIDEOS), ({} if users is None else USERS)
        features = Features(of_items, of_users, kinds)
        return RawData(log, videos, users, dropped, features=features, about=self.about)


def _exposures(file: Path, signals: Sequence[str], rewards: Sequence[str]) -> pl.LazyFrame:
    """A log; event_type is null for exposures without any of the signals."""
    given = dict.fromkeys([*signals, *rewards])
    columns = ("user_id", "video_id", "time_ms", "play_time_ms", "is_rand", "tab", *given)
    text = scan_text(file, columns, ",", header=True)
    types = [pl.when(to_int(name) == 1).then(pl.lit(name)) for name in signals]
    return text.select(
        user_id=to_int("user_id"),
        item_id=to_int("video_id"),
        **seconds_and_order(to_int("time_ms")),
        event_type=pl.coalesce(types) if types else pl.lit("exposure"),
        is_rand=to_int("is_rand"),
        tab=to_int("tab"),
        play_time_ms=to_float("play_time_ms"),
        **{name: to_float(name) for name in rewards},
    )


def _table(
    file: Path, key: str, kinds: dict[str, Any], seen: pl.LazyFrame | None = None
) -> pl.DataFrame:
    """A table of users or videos; with ``seen`` only the videos of the log."""
    values = {name: _value(name, kind) for name, kind in kinds.items()}
    target = "user_id" if key == "user_id" else "item_id"
    frame = scan_text(file, (key, *kinds), ",", header=True).select(
        **{target: to_int(key)}, **values
    )
    if seen is not None:
        frame = frame.join(seen, on=target, how="semi")
    return collect_table(frame, file, target).sort(target)


def _value(name: str, kind: str) -> pl.Expr:
    if kind == "numeric":
        return to_float(name)
    return blank_to_null(name).str.split(",") if kind == "list" else blank_to_null(name)
