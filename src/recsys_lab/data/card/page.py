"""The data card as one HTML page from the manifest, readable offline and on paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys_lab.data.card import charts, facts
from recsys_lab.data.leaks.check import KINDS_BY_TIME
from recsys_lab.data.leaks.finding import said_once
from recsys_lab.pages.markup import join, render, track
from recsys_lab.pages.number_format import decimals, number, percent
from recsys_lab.pages.table import Table


def write_card(manifest: Mapping[str, Any], file: Path) -> None:
    """Write the page.

    Args:
        manifest: as in ``manifest.json``, with ``statistics`` from `statistics.describe`.
        file: to write.
    """
    name, source, settings = facts.title(manifest), manifest["source"], manifest["settings"]
    time = manifest["statistics"]["time"]
    lead = [
        *([manifest["name"]] if manifest["name"] != name else []),
        f"read by {source['reader']}",
        f"prepared with {manifest['engine']} on {manifest['created'].replace('T', ' ')}",
    ]
    page = render(
        "data/card/page.html",
        name=name,
        lead=" · ".join(lead),
        manifest=manifest,
        statistics=manifest["statistics"],
        about=manifest["about"],
        charts=charts,
        tiles=facts.key_figures(manifest),
        counts=_counts(manifest),
        filter=facts.settings_rows(settings["filter"]),
        distributions=_distributions(manifest),
        concentration=[*facts.concentration_facts(manifest), *facts.pair_facts(manifest)],
        times=facts.time_facts(time) if time else [],
        split=_split(manifest),
        split_settings=facts.settings_rows(settings["split"]),
        split_counts=facts.split_counts(manifest),
        leaks=said_once(manifest["leaks"]),
        kinds_by_time=", ".join(KINDS_BY_TIME),
        features=Table(
            "Columns that models may read.", facts.FEATURE_HEADS, facts.feature_rows(manifest)
        ),
        origin=[
            ("fingerprint", manifest["fingerprint"]),
            ("reader", source["reader"]),
            ("engine", manifest["engine"]),
            ("created", manifest["created"]),
            ("schema version", str(manifest["schema_version"])),
        ],
        source_settings=facts.settings_rows(source["config"]),
        source_content=facts.settings_rows(source["key"]),
    )
    file.write_text(page, encoding="utf-8")


def _counts(manifest: Mapping[str, Any]) -> Table:
    counts = manifest["counts"]
    read = max(counts[0]["rows"], 1)
    rows = []
    for step in counts:
        share = step["rows"] / read
        numbers = (number(step.get(key)) for key in ("rows", "users", "items", "dropped"))
        bar = join(percent(share), track(share))
        rows.append([step["step"], *numbers, bar, step.get("reason") or ""])
    heads = ("step", "rows", "users", "items", "dropped", "rows left", "dropped because")
    left = percent(counts[-1]["rows"] / read)
    caption = f"Rows, users and items after each step; {left} of the source's rows are left."
    return Table(caption, heads, rows, right=range(1, 5))


def _distributions(manifest: Mapping[str, Any]) -> Table:
    statistics = manifest["statistics"]
    kinds = {"events per user": "history_length", "events per item": "item_popularity"}
    rows = [
        [name, *decimals([statistics[key][column] for column in facts.DISTRIBUTION], places=2)]
        for name, key in kinds.items()
    ]
    caption = "Events per user (length of a history) and per item (its popularity)."
    heads = ("", *facts.DISTRIBUTION.values())
    return Table(caption, heads, rows, right=range(1, len(heads)))


def _split(manifest: Mapping[str, Any]) -> Table:
    caption = (
        "Training events and targets of each phase. The history is the input for predicting the "
        "targets; in training, the events of a user."
    )
    heads = ("phase", "users", "events", "of all events", "targets", "median history")
    return Table(caption, heads, facts.split_rows(manifest), right=range(1, 6))
