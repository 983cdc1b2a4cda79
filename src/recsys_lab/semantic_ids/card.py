"""The card of semantic IDs, a page and tables for the terminal, made of the manifest alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.pages.charts.bars import Bar, Labels, bar_chart
from recsys_lab.pages.markup import Markup, render
from recsys_lab.pages.number_format import decimals, duration, format_value, number, percent
from recsys_lab.pages.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Manifest = Mapping[str, Any]

_MOST_BARS = 128


def card(manifest: Manifest) -> str:
    """The page."""
    found, origin = manifest["diagnostics"], manifest["origin"]
    return render(
        "semantic_ids/page.html",
        name=manifest["name"],
        lead=f"codes of {number(found['items'])} items of {manifest['data']['name']}, made on "
        f"{manifest['created'].replace('T', ' ')} in {duration(manifest['seconds'])}",
        tiles=key_figures(manifest),
        levels=levels_table(found),
        used=[_usage_chart(place, level) for place, level in enumerate(found["levels"], 1)],
        agreement=list(agreement_tables(found)),
        examples=examples_table(found),
        churn=list(churn_tables(manifest)),
        learned=[(key.replace("_", " "), _rounded(v)) for key, v in found["learned"].items()],
        settings=[(key, format_value(value)) for key, value in manifest["settings"].items()],
        origin=[
            ("fingerprint", manifest["fingerprint"]),
            ("data", f"{manifest['data']['name']}, {manifest['data']['fingerprint']}"),
            ("made of", format_value(origin)),
        ],
    )


def key_figures(manifest: Manifest) -> list[tuple[str, str]]:
    """(name, value) of what is asked first."""
    found = manifest["diagnostics"]
    live = min(level["live_share"] for level in found["levels"])
    return [
        ("codes by level", " x ".join(map(number, manifest["num_codes"]))),
        ("items", number(found["items"])),
        ("without training events", number(found["items"] - found["items_with_training_events"])),
        ("items with equal codes", percent(found["collisions"]["share"])),
        ("after deduplication", percent(found["shared"]["share"])),
        ("live codes, lowest level", percent(live)),
    ]


def levels_table(found: Manifest) -> Table:
    """One row for each level."""
    heads = (
        "level",
        "codes",
        "live",
        "perplexity",
        "largest code: items",
        "events",
        "prefixes",
        "codes after a prefix",
        "most",
    )
    rows = [
        [
            str(place),
            number(level["codes"]),
            percent(level["live_share"]),
            f"{level['perplexity']:,.1f}",
            percent(level["largest_items_share"]),
            percent(level["largest_events_share"]),
            number(level["prefixes"]),
            f"{level['mean_fan_out']:,.1f}",
            number(level["largest_fan_out"]),
        ]
        for place, level in enumerate(found["levels"], 1)
    ]
    caption = (
        "Levels. Live codes have an item. Perplexity is the number of equally used codes that "
        "would be as even. A prefix is the codes up to a level."
    )
    return Table(caption, heads, rows, right=range(1, len(heads)))


def agreement_tables(found: Manifest) -> Iterator[Table]:
    """How well prefixes agree with categories and with neighbours in histories."""
    levels = len(found["neighbours"]) or max(
        (len(entry["levels"]) for entry in found["categories"]), default=0
    )
    heads = ("", *(f"{place} codes" if place > 1 else "1 code" for place in range(1, levels + 1)))
    if found["categories"]:
        rows = [
            [
                entry["column"],
                *(f"{x['nmi']:.3f} (chance {x['by_chance']:.3f})" for x in entry["levels"]),
            ]
            for entry in found["categories"]
        ]
        caption = (
            "Normalised mutual information of prefixes with item columns (of a list, its first "
            "value), and of prefixes shuffled among the items."
        )
        yield Table(caption, heads, rows, right=range(1, levels + 1))
    if found["neighbours"]:
        cells = [
            f"{percent(x['share'])} (chance {percent(x['by_chance'])})" for x in found["neighbours"]
        ]
        caption = (
            "Share of neighbours in training histories that have equal prefixes, and of pairs by "
            "chance."
        )
        yield Table(caption, heads, [["neighbours", *cells]], right=range(1, levels + 1))


def examples_table(found: Manifest) -> Table:
    """Titles in the largest prefixes of length 1."""
    rows = [
        [
            str(x["code"]),
            number(x["items"]),
            percent(x["events_share"]),
            " | ".join(map(str, x["titles"])),
        ]
        for x in found["examples"]
    ]
    caption = "The largest codes of level 1, with the items nearest to their mean."
    return Table(caption, ("code", "items", "events", "titles"), rows, right=(1, 2))


def churn_tables(manifest: Manifest) -> Iterator[Table]:
    """What changed since earlier codes."""
    for other, churn in manifest.get("churn", {}).items():
        rows = [
            [str(place), percent(level["equal"]), f"{level['adjusted_rand']:.3f}"]
            for place, level in enumerate(churn["levels"], 1)
        ]
        caption = (
            f"Since {churn['name']} {other}: {number(churn['items'])} items in both, "
            f"{number(churn['new'])} new, {number(churn['gone'])} gone. Items with equal prefixes, "
            "and the adjusted Rand index of the two groupings by prefix, which does not change "
            "when codes are renumbered."
        )
        heads = ("length", "items with equal prefix", "adjusted Rand index")
        yield Table(caption, heads, rows, right=(1, 2))


def _usage_chart(place: int, level: Manifest) -> tuple[str, Markup]:
    counts = level["items_by_code"]
    step = -(-len(counts) // _MOST_BARS)  # of many codes, some share a bar
    groups = [counts[first : first + step] for first in range(0, len(counts), step)]
    bars = [
        Bar(sum(group) / len(group), "", f"code {index * step + 1} by size: {number(group[0])}")
        for index, group in enumerate(groups)
    ]
    labels = Labels(
        f"used-{place}",
        f"Items by code of level {place}",
        f"{level['live']} of {level['codes']} codes have items; the largest has "
        f"{number(counts[0])}, the median {number(counts[len(counts) // 2])}.",
        "codes, largest first",
        "items",
    )
    return f"Level {place}: items by code", bar_chart(bars, labels)


def _rounded(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(one, float) for one in value):
        return ", ".join(decimals(value))
    return format_value(value)
