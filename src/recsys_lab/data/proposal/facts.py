"""What the events of a sample show about the protocol: returns, baskets, repeats, fees."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import yaml  # type: ignore[import-untyped]

from recsys_lab.config import UserError, config_dir
from recsys_lab.data.columns.id_spellings import spelling_warning
from recsys_lab.data.engines.polars import PolarsSession
from recsys_lab.data.preparation.source_warnings import number_warnings
from recsys_lab.data.proposal.sample import Sample
from recsys_lab.data.raw import RawData
from recsys_lab.data.sources.table import Table

_KEYS = ("timestamp", "order")
_SERVICES = (
    "postage|carriage|shipping|delivery|freight|porto|versand(kosten)?|manual|discount|rabatt"
    "|bank charges?|fees?|commission|adjust(ment)?|samples?|gift ?(card|voucher)|voucher|gutschein"
    "|deposit|pfand|carrier bag|tip|donation"
)
_NO_PRODUCT = re.compile(
    rf"(?i)(?:[\w.]+ ){{0,2}}(?:{_SERVICES})(?: (?:costs?|charges?|fees?|bad debt|dotcom))?"
)
_EXCEPTIONS = re.compile(r"(?i).*\b(stamp|mug|sign|box|bag)s?\b.*")
_MOST_SERVICES, _MOST_TYPES = 20, 10


@dataclass(frozen=True)
class Facts:
    """Counts over the events of a sample.

    Attributes:
        rows: of the sample.
        unusable: rows without user, item or time.
        returns: rows with a negative quantity.
        zero_quantity: rows with quantity 0.
        unpriced: rows with a price of 0 or less.
        events: usable rows that are no returns, each (user, item, time) once.
        repeated_lines: further rows with the same user, item and time.
        users: with an event.
        items: with an event.
        long_users: users with at least 3 events, which leave-one-out needs.
        last_tied: share of the long users whose last event is in the basket of the one before.
        repeats: share of the events whose user had the item before.
        first: time of the first event; None without times.
        last: of the last one.
        services: items that look like postage or fees -> rows.
        types: event type -> rows, most frequent first.
        reversed_ties: events at the time of another one of their user, in a file whose rows go
            from the newest to the oldest; 0 for other files.
        warnings: of the reader, about values that are unusual or cannot be read.
    """

    rows: int
    unusable: int
    returns: int
    zero_quantity: int
    unpriced: int
    events: int
    repeated_lines: int
    users: int
    items: int
    long_users: int
    last_tied: float
    repeats: float
    first: str | None
    last: str | None
    services: dict[str, int]
    types: dict[str, int]
    reversed_ties: int
    warnings: list[str]


def read_facts(sample: Sample, options: dict[str, Any], title: str | None, scratch: Path) -> Facts:
    """Read a sample as the lab would, and count.

    Args:
        sample: the rows.
        options: of `Table`, besides the defaults.
        title: the column of readable names, if any.
        scratch: an empty folder.

    Raises:
        UserError: the reader refuses it, with the file's own path.
    """
    defaults = yaml.safe_load((config_dir() / "data" / "table.yaml").read_text(encoding="utf-8"))
    del defaults["_target_"]
    own = {"path": str(sample.file), "keep_returns": True}
    reader = Table(Table.Config(**{**defaults, **options, **own}))
    try:
        raw = reader.read_raw(scratch)
    except UserError as error:
        raise UserError(str(error).replace(str(sample.file), sample.path)) from error
    frame: pl.DataFrame = PolarsSession().scan(raw.interactions).to_native().collect()
    frame = frame.with_columns(titles=_titles(sample, title)).sort("row")
    warnings = [*raw.warnings, *number_warnings(raw.unreadable), *_spellings(frame, raw)]
    return _counted(frame, [text.replace(str(sample.file), sample.path) for text in warnings])


def _spellings(frame: pl.DataFrame, raw: RawData) -> Iterator[str]:
    """A warning for users, and one for items, whose ids differ in spelling only."""
    for side in ("user", "item"):
        ids = frame[f"{side}_id"].drop_nulls().unique()
        if ids.dtype == pl.String:
            found = spelling_warning(ids.to_arrow(), side, normalizable=raw.normalizes_ids)
            yield from [found] if found else []


def _titles(sample: Sample, title: str | None) -> pl.Series:
    if title is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(sample.frame))
    return sample.frame[title].cast(pl.String)


def _counted(frame: pl.DataFrame, warnings: list[str]) -> Facts:
    keys = [name for name in _KEYS if name in frame.columns]
    usable = frame.drop_nulls(["user_id", "item_id", *keys])
    quantity = usable["quantity"] if "quantity" in usable.columns else None
    sold = usable if quantity is None else usable.filter((quantity >= 0).fill_null(value=True))
    once = sold.unique(["user_id", "item_id", *keys], keep="first", maintain_order=True)
    events = (sold if not keys else once).sort("user_id", *keys, maintain_order=True)
    lengths = events.group_by("user_id").len()
    long = lengths.filter(pl.col("len") >= 3)
    times = events["timestamp"] if "timestamp" in keys else None
    return Facts(
        rows=len(frame),
        unusable=len(frame) - len(usable),
        returns=len(usable) - len(sold),
        zero_quantity=0 if quantity is None else int((quantity == 0).sum()),
        unpriced=int((sold["price"] <= 0).sum()) if "price" in sold.columns else 0,
        events=len(events),
        repeated_lines=len(sold) - len(events),
        users=len(lengths),
        items=events["item_id"].n_unique(),
        long_users=len(long),
        last_tied=_last_tied(events, long, times is not None),
        repeats=1 - events.select("user_id", "item_id").n_unique() / max(1, len(events)),
        first=None if times is None or times.is_empty() else _moment(times.min()),
        last=None if times is None or times.is_empty() else _moment(times.max()),
        services=_services(sold),
        types=_types(events),
        reversed_ties=0 if times is None else _reversed_ties(once, events),
        warnings=warnings,
    )


def _reversed_ties(rows: pl.DataFrame, events: pl.DataFrame) -> int:
    """Events whose order is reversed: rows of one time keep the order of a file, newest first."""
    steps = rows["timestamp"].diff()
    if (steps > 0).sum() * 10 >= (steps < 0).sum():
        return 0
    return int(events.select(pl.struct("user_id", "timestamp").is_duplicated().sum()).item())


def _types(events: pl.DataFrame) -> dict[str, int]:
    if "event_type" not in events.columns:
        return {}
    counts = events["event_type"].drop_nulls().value_counts(sort=True)
    return dict(counts.head(_MOST_TYPES).iter_rows())


def _last_tied(events: pl.DataFrame, long: pl.DataFrame, has_times: bool) -> float:
    """Share of the users whose last two events are in one basket."""
    column = "basket" if "basket" in events.columns else "timestamp" if has_times else None
    if column is None or long.is_empty():
        return 0.0
    kept = events.join(long, on="user_id", how="semi", maintain_order="left")
    last, before = pl.col(column).last(), pl.col(column).slice(-2, 1).first()
    tied = kept.group_by("user_id").agg((last == before).fill_null(value=False).alias("tied"))
    return float(tied["tied"].sum() / len(tied))


def _services(sold: pl.DataFrame) -> dict[str, int]:
    """Items whose id or title names postage or a fee, by their rows."""
    texts = sold.group_by("item_id").agg(pl.len(), pl.col("titles").drop_nulls().first())
    found: dict[str, int] = {}
    for item, rows, title in texts.sort("len", "item_id", descending=[True, False]).iter_rows():
        if any(_is_service(text) for text in (str(item), title or "")):
            found[str(item)] = rows
    return dict(list(found.items())[:_MOST_SERVICES])


def _is_service(text: str) -> bool:
    return bool(_NO_PRODUCT.fullmatch(text.strip())) and not _EXCEPTIONS.fullmatch(text)


def _moment(seconds: Any) -> str:
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M}"


def many_decimal_commas(values: Sequence[pl.Series]) -> bool:
    """Whether numbers of these columns are written 3,5."""
    for series in values:
        if series.dtype == pl.String:
            there = series.drop_nulls().str.strip_chars()
            commas = there.str.contains(r"^[+-]?[\d.]*\d,\d+$").sum()
            points = there.str.contains(r"^[+-]?\d+\.\d+$").sum()
            if commas > points:
                return True
    return False
