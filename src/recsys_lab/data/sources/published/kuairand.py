"""KuaiRand: short videos, some shown at random (Gao et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import polars as pl

from recsys_lab.data.raw import Features, RawData
from recsys_lab.data.sources.published.about import About, DatasetInfo
from recsys_lab.data.sources.published.files import (
    clock,
    content_key,
    fetch,
    filled,
    number,
    place_of,
    scan_text,
    sink_log,
    told,
    unpacked,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

URL = "https://zenodo.org/records/10439422/files"
MD5 = {  # as published by Zenodo
    "pure": "0820331067a3784d9691136f772b35a7",
    "1k": "6b0b9c8222d67fcd4c676218edca3f1f",
    "27k": "3e3c799a24e2d23a4d2c757fbf9adf59",
}
ARCHIVES = {"pure": "KuaiRand-Pure", "1k": "KuaiRand-1K", "27k": "KuaiRand-27K"}
USERS: dict[str, Any] = {
    "user_active_degree": "categorical",
    "is_live_streamer": "categorical",
    "is_video_author": "categorical",
    "follow_user_num_range": "categorical",
    "fans_user_num_range": "categorical",
    "friend_user_num_range": "categorical",
    "register_days_range": "categorical",
    **{f"onehot_feat{number}": "categorical" for number in range(18)},
}
VIDEOS: dict[str, Any] = {
    "author_id": "categorical",
    "video_type": "categorical",
    "upload_type": "categorical",
    "video_duration": "numeric",
    "music_id": "categorical",
    "tag": "list",
}
SIGNALS = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view")

ABOUT = About(
    title="KuaiRand",
    homepage="https://kuairand.com",
    licence="CC BY-SA 4.0",
    citation="Gao et al. (2022). KuaiRand: An Unbiased Sequential Recommendation Dataset with "
    "Randomly Exposed Videos. CIKM. https://doi.org/10.1145/3511808.3557624",
    notes=(
        "A row is an exposure, not a choice: without data.signals also what was skipped is an "
        "event, and the model learns what the app showed.",
        "In Pure only the 7,583 candidate videos are left: histories have holes. For sequential "
        "work its authors advise 1K or 27K.",
        "The randomly shown videos (is_rand = 1) come from an intervention of 22 April to 8 May "
        "2022: an unbiased test, but other training data. Choose with data.logs.",
        "Leak trap: video_features_statistic counts the whole period, the test included; it is "
        "not read. The users' table is a snapshot too.",
        "is_click means a click in the two-column page and a valid play in the one-column page; "
        "tab says which page.",
    ),
)
_SIZES = {
    "pure": ("1,436,609 exposures, 1,186,059 random, 27,285 users, 7,583 videos; 47 MB", ""),
    "1k": ("11,713,045 exposures, 43,028 random, 1,000 users, 4,369,953 videos; 1.1 GB", ""),
    "27k": ("322,278,385 exposures, 1,186,059 random, 27,285 users, 32,038,725 videos; 9.9 GB",
            " (unpack it first: 46 GB)"),
}  # fmt: skip


class KuaiRand:
    """Reads one exposure, or one with a signal such as a click, as an event.

    Args:
        config: the variant, the logs, and which exposures count.
    """

    named: ClassVar[Mapping[str, DatasetInfo]] = {
        name: DatasetInfo(ABOUT, size, f"nothing: downloaded{hint}", has_md5=True)
        for name, (size, hint) in _SIZES.items()
    }

    @dataclass(frozen=True)
    class Config:
        """Options of `KuaiRand`.

        Attributes:
            variant: the edition.
            path: the official archive or its unpacked folder; null: download.
            download_dir: where a downloaded archive is kept.
            sha256: of the downloaded archive, checked beside the published MD5 where it is given.
            logs: exposures of the app's own policies, of the random intervention, or both.
            signals: exposures with none of these signals are dropped and counted; the event's
                type is the first of them that it has. null: every exposure, of type 'exposure'.
            item_tables: also read the videos' basic features.
            rewards: signals that are numeric columns of the events, 1 or 0: what followed an
                exposure, for off-policy estimates (with signals: null, so that all are events).
        """

        variant: Literal["pure", "1k", "27k"]
        path: str | None
        download_dir: str
        sha256: str | None
        logs: Literal["standard", "random", "both"]
        signals: (
            list[
                Literal[
                    "is_click",
                    "is_like",
                    "is_follow",
                    "is_comment",
                    "is_forward",
                    "is_hate",
                    "long_view",
                ]
            ]
            | None
        )
        item_tables: bool
        rewards: list[
            Literal[
                "is_click",
                "is_like",
                "is_follow",
                "is_comment",
                "is_forward",
                "is_hate",
                "long_view",
            ]
        ] = field(default_factory=list, kw_only=True)

    def __init__(self, config: Config) -> None:
        self.config = config

    def source_key(self) -> dict[str, Any]:
        """Name, size and SHA-256 of the archive or of the files that are read."""
        return content_key(self._place(), [*self._logs(), *self._tables()])

    def read_raw(self, scratch: Path) -> RawData:
        """Stream the logs to Parquet, in the order of their dates."""
        logs = self._logs()
        place = self._place()
        files = unpacked(place, logs, scratch, optional=self._tables())
        signals = list(self.config.signals or [])
        rewards = list(self.config.rewards)
        parts = [_exposures(files[name], signals, rewards) for name in logs]
        first = files[logs[0]]
        everything = pl.concat(parts)
        kept = everything.filter(pl.col("event_type").is_not_null())
        log = sink_log(kept, first, scratch / "log.parquet")
        dropped = {}
        if signals:
            with told(first):
                total = int(everything.select(pl.len()).collect(engine="streaming").item())
            kept_rows = int(
                pl.scan_parquet(log.files[0], glob=False).select(pl.len()).collect().item()
            )
            dropped[f"exposure without {' or '.join(signals)}"] = total - kept_rows
        tables = {name.split("_")[0]: files[name] for name in self._tables() if name in files}
        users = _table(tables["user"], "user_id", USERS) if "user" in tables else None
        videos = None
        if "video" in tables:
            seen = pl.scan_parquet(log.files[0], glob=False).select("item_id").unique()
            videos = _table(tables["video"], "video_id", VIDEOS, seen)
        kinds: dict[str, Any] = {
            "is_rand": "categorical",
            "tab": "categorical",
            "play_time_ms": "numeric",
            **dict.fromkeys(rewards, "numeric"),
        }
        if len(signals) > 1:
            kinds["event_type"] = "categorical"
        features = Features(
            items={} if videos is None else VIDEOS,
            users={} if users is None else USERS,
            events=kinds,
        )
        return RawData(log, videos, users, dropped, features=features, about=ABOUT)

    def _logs(self) -> list[str]:
        """The log files, oldest first."""
        name = self.config.variant
        parts = ("_part1", "_part2") if name == "27k" else ("",)
        found = []
        if self.config.logs != "random":
            for days in ("4_08_to_4_21", "4_22_to_5_08"):
                found += [f"log_standard_{days}_{name}{part}.csv" for part in parts]
        if self.config.logs != "standard":
            found.append(f"log_random_4_22_to_5_08_{name}.csv")
        return found

    def _tables(self) -> list[str]:
        name = self.config.variant
        videos = [f"video_features_basic_{name}.csv"] if self.config.item_tables else []
        return [f"user_features_{name}.csv", *videos]

    def _place(self) -> Path:
        config = self.config
        archive = f"{ARCHIVES[config.variant]}.tar.gz"
        if config.path is None:
            about = self.named[config.variant]
            md5 = MD5[config.variant]
            url = f"{URL}/{archive}"
            return fetch(url, config.download_dir, about, md5=md5, sha256=config.sha256)
        return place_of(config.path, f"{archive} or its unpacked folder")


def _exposures(file: Path, signals: Sequence[str], rewards: Sequence[str]) -> pl.LazyFrame:
    """A log; event_type is null where an exposure has none of the signals."""
    given = dict.fromkeys([*signals, *rewards])
    columns = ("user_id", "video_id", "time_ms", "play_time_ms", "is_rand", "tab", *given)
    text = scan_text(file, columns, ",", header=True)
    types = [pl.when(whole(name) == 1).then(pl.lit(name)) for name in signals]
    return text.select(
        user_id=whole("user_id"),
        item_id=whole("video_id"),
        **clock(whole("time_ms")),
        event_type=pl.coalesce(types) if types else pl.lit("exposure"),
        is_rand=whole("is_rand"),
        tab=whole("tab"),
        play_time_ms=number("play_time_ms"),
        **{name: number(name) for name in rewards},
    )


def _table(
    file: Path, key: str, kinds: dict[str, Any], seen: pl.LazyFrame | None = None
) -> pl.DataFrame:
    """A table of users or videos; with ``seen`` only the videos of the log."""
    values = {name: _value(name, kind) for name, kind in kinds.items()}
    target = "user_id" if key == "user_id" else "item_id"
    frame = scan_text(file, (key, *kinds), ",", header=True).select(
        **{target: whole(key)}, **values
    )
    if seen is not None:
        frame = frame.join(seen, on=target, how="semi")
    with told(file):
        table = frame.drop_nulls(target).collect(engine="streaming")
    return table.unique(target, keep="first").sort(target)


def _value(name: str, kind: str) -> pl.Expr:
    if kind == "numeric":
        return number(name)
    return filled(name).str.split(",") if kind == "list" else filled(name)
