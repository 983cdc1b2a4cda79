"""The manifest as readable rows, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys_lab.pages.number_format import DAY, duration, format_value, number, percent

DISTRIBUTION = {
    "min": "min",
    "q25": "25%",
    "median": "median",
    "q75": "75%",
    "p90": "90%",
    "p99": "99%",
    "max": "max",
    "mean": "mean",
}
"""Key of a distribution in the statistics -> heading."""


def title(manifest: Mapping[str, Any]) -> str:
    """The published title, or the dataset's name."""
    about = manifest.get("about")
    return str(about["title"] if about else manifest["name"])


def span(manifest: Mapping[str, Any]) -> str:
    """First and last day, and the time between."""
    time = manifest["statistics"]["time"]
    if time is None:
        return "no timestamps"
    first, last = (str(time[key]).split("T")[0] for key in ("first", "last"))
    return f"{first} to {last} ({duration(DAY * time['days'])})"


def key_figures(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of the key figures."""
    statistics = manifest["statistics"]
    lengths, items = statistics["history_length"], statistics["item_popularity"]
    return [
        ("users", number(manifest["num_users"])),
        ("items", number(manifest["num_items"])),
        ("interactions", number(manifest["num_interactions"])),
        ("density", percent(statistics["density"])),
        ("events per user", f"{number(lengths['median'])} median, {number(lengths['max'])} max"),
        ("events per item", f"{number(items['median'])} median, {number(items['max'])} max"),
        ("time span", span(manifest)),
    ]


def concentration_facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of the concentration of events on popular items."""
    items = manifest["statistics"]["item_popularity"]
    return [
        ("events on the top 1% of items", percent(items["top_1_percent_share"])),
        ("events on the top 10% of items", percent(items["top_10_percent_share"])),
        ("Gini coefficient of items", f"{items['gini']:.3f}"),
    ]


def pair_facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of distinct (user, item) pairs and of repetition."""
    stats = manifest["statistics"]
    return [
        ("distinct user-item pairs", number(stats["distinct_pairs"])),
        ("density (share of all pairs)", percent(stats["density"])),
        ("sparsity", percent(stats["sparsity"])),
        ("events whose user had the item before", percent(stats["repeat_share"])),
        ("events that repeat the one just before", percent(stats["consecutive_repeat_share"])),
    ]


def time_facts(time: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of the time span and of the gaps between a user's events."""
    rows = [
        ("first event", str(time["first"])),
        ("last event", str(time["last"])),
        ("span", f"{number(round(time['days'], 2))} days"),
    ]
    gaps = time["gap_seconds"]
    if gaps is not None:
        shown = ", ".join(duration(gaps[key]) for key in ("q25", "median", "q75"))
        rows.append(("time between a user's events (25%, median, 75%)", shown))
    return rows


def split_rows(manifest: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Phase, users, events, their share of all, targets, median history."""
    rows: list[tuple[str, ...]] = []
    for phase, sizes in manifest["statistics"]["split"].items():
        share = sizes["events"] / manifest["num_interactions"]
        cells = (sizes["users"], sizes["events"], None, sizes.get("targets"))
        users, events, _, targets = map(number, cells)
        rows.append(
            (phase, users, events, percent(share), targets, number(sizes["median_history"]))
        )
    return rows


def split_counts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, count) that the split stored besides `split_rows`; times as dates."""
    known = {*manifest["settings"]["split"], "train_rows", "validation_rows", "test_rows"}
    return [
        (key.removesuffix("_time").replace("_", " "), _moment(key, value))
        for key, value in manifest["split"].items()
        if key not in known
    ]


def settings_rows(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(option, value) as in a config file."""
    return [(key, format_value(value)) for key, value in settings.items()]


FEATURE_HEADS = ("table", "column", "type", "details")


def feature_rows(manifest: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Table, column, type and further entries of every feature."""
    rows = []
    for table, columns in (manifest.get("features") or {}).items():
        for column, known in columns.items():
            details = {"type": known} if isinstance(known, str) else dict(known)
            kind = str(details.pop("type", ""))
            text = ", ".join(f"{key} {_brief(value)}" for key, value in details.items())
            rows.append((str(table), str(column), kind, text.replace("_", " ")))
    return rows


def _brief(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"({len(value)})"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return format_value(value)


def _moment(key: str, value: Any) -> str:
    if not isinstance(value, int):
        return format_value(value)
    if not key.endswith("_time"):
        return number(value)
    return str(np.datetime64(value, "s")).replace("T", " ")
