"""The report of a comparison: one HTML page, readable offline and on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.comparison import cells as tables
from recsys_lab.comparison import charts
from recsys_lab.comparison.examples import example_section
from recsys_lab.comparison.slices import slice_section, system_heads
from recsys_lab.pages.charts.bars import compact
from recsys_lab.pages.charts.xy import badge, legend
from recsys_lab.pages.markup import Markup, join, tag
from recsys_lab.pages.number_format import decimal
from recsys_lab.pages.page import fact_list, figure, page, section, table
from recsys_lab.runs.find import flatten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.comparison.examples import Examples
    from recsys_lab.comparison.results import Comparison, Metric, System


_SEEN = {"True": "never listed", "False": "may be listed"}


def html(comparison: Comparison, examples: Examples) -> str:
    """The page's text."""
    parts = [
        _head(comparison), _compared(comparison), _results(comparison), _differences(comparison),
        _notes(comparison), slice_section(comparison), _training(comparison), _cost(comparison),
        _popularity(comparison), example_section(comparison, examples), _what_differs(comparison),
        _runs(comparison),
    ]  # fmt: skip
    title = tables.marked(comparison, tables.heading(comparison))
    return page(f"{title}: comparison", *(part for part in parts if part))


def _head(comparison: Comparison) -> Markup:
    metric = comparison.metric
    best = comparison.systems[comparison.ranks(metric).index(1)]
    tiles = [
        (f"best {metric.name}", decimal(best.scores[metric.name].mean)),
        ("systems", str(len(comparison.systems))),
        ("runs", str(len(comparison.runs))),
        ("test users", f"{metric.users:,}" if metric.users else "not the same"),
    ]
    return tag(
        "header",
        tag("p", "Comparison", class_="kicker"),
        tag("h1", tables.marked(comparison, tables.heading(comparison))),
        tag("p", _verdict(comparison, best), class_="lead"),
        tag("dl", *(tag("div", tag("dt", n), tag("dd", v)) for n, v in tiles), class_="figures"),
    )


def _verdict(comparison: Comparison, best: System) -> str:
    """Which system is best, and what is known of its difference from the baseline."""
    metric = comparison.metric
    said = f"{'Highest' if metric.higher_is_better else 'Lowest'} mean {metric.name}: {best.name}."
    if comparison.baseline is None:
        return said
    pair = comparison.pair(metric.name, best.name, comparison.baseline)
    if pair is None:
        return f"{said} It is the baseline." if best.name == comparison.baseline else said
    cells = tables.pair_cells(pair)
    share = f" ({cells.relative})" if cells.relative else ""
    return (
        f"{said} Against {comparison.baseline}: {cells.difference}{share}, 95% interval "
        f"{cells.interval}, p {cells.p_holm} after Holm's correction, win/tie/loss {cells.users} "
        "users."
    )


def _compared(comparison: Comparison) -> Markup:
    data, protocol = comparison.runs[0].data, comparison.protocol
    counts = [("num_users", "users"), ("num_items", "items"), ("num_interactions", "interactions")]
    said = [f"{data[key]:,} {name}" for key, name in counts if data.get(key) is not None]
    split = protocol.get("split") or {}
    facts = [
        ("data", ", ".join([str(data["name"]), *said])),
        ("split", ", ".join(f"{key} {tables.setting(value)}" if key != "name" else str(value)
                            for key, value in split.items())),
        ("candidates", tables.setting(protocol.get("candidates"))),
        ("items of the history", _SEEN.get(str(protocol.get("exclude_seen")), "")),
        ("chosen and ordered by", comparison.main_metric),
        ("baseline", comparison.baseline or "none: all pairs are tested"),
    ]  # fmt: skip
    rows = []
    for place, system in enumerate(comparison.systems):
        epochs = [len(comparison.runs[run].epochs) for run in system.runs]
        trained = f"{min(epochs)} to {max(epochs)}" if len({*epochs}) > 1 else str(epochs[0])
        rows.append([
            join(badge(place), " ", system.name), ", ".join(map(str, system.seeds)),
            trained if max(epochs) else "fitted",
            _count(comparison.runs[system.runs[0]].parameters),
        ])  # fmt: skip
    heads = ("system", "seeds", "epochs", "parameters")
    alike = "" if comparison.by == "config" else f" and have one {comparison.by}"
    caption = f"Runs that differ in the seed alone{alike} are one system."
    listed = table(caption, heads, rows, right=(2, 3))
    shown = fact_list([(name, value) for name, value in facts if value])
    return section("What is compared", shown, listed)


def _results(comparison: Comparison) -> Markup:
    drawn = [
        figure(f"test {metric.name} with 95% intervals", chart)
        for metric in charts.shown_metrics(comparison)
        if (chart := charts.bars(comparison, metric)) is not None
    ]
    rows = []
    for metric in comparison.metrics:
        ranked = zip(comparison.systems, tables.shown_ranks(comparison, metric), strict=True)
        scores = (_score(comparison, metric, system, rank) for system, rank in ranked)
        rows.append([tables.metric_label(metric), *scores])
    heads = ["metric", *system_heads(comparison, with_runs=True)]
    listed = table("Every metric that all runs have.", heads, rows, right=range(1, len(heads)))
    return section(
        "Results",
        tag("div", *drawn, class_="pair"),
        tag("div", listed, class_="scores"),
        tag("p", tables.legend(comparison), class_="lead"),
    )


def _score(comparison: Comparison, metric: Metric, system: System, rank: int | None) -> Markup:
    score = system.scores[metric.name]
    mean: Markup | str = decimal(score.mean)
    if rank is not None:
        mean = tag("b" if rank == 1 else "u", str(mean))
    sd = "" if score.sd is None else f" ± {tables.spread(score)}"
    star = tables.baseline_mark(comparison, metric, system)
    if score.interval is None:
        return join(mean, sd, star)
    low, high = decimal(score.interval.low), decimal(score.interval.high)
    return join(mean, sd, star, tag("small", f"{low} - {high}"))


def _differences(comparison: Comparison) -> Markup | None:
    pairs = [pair for pair in comparison.pairs if pair.metric == comparison.main_metric]
    if not pairs:
        return None
    heads = ("pair", *tables.PAIR_HEADS)
    rows = [[f"{pair.first} - {pair.second}", *tables.pair_cells(pair)] for pair in pairs]
    caption = f"{comparison.main_metric}, the same users in both systems."
    listed = table(caption, heads, rows, right=range(1, len(heads)))
    said = tag("p", tables.PAIR_LEGEND, class_="lead")
    return section("Differences, user by user", tag("div", listed, class_="scores"), said)


def _notes(comparison: Comparison) -> Markup | None:
    if not comparison.notes:
        return None
    notes = (tag("li", tag("p", note)) for note in comparison.notes)
    return section("To be said beside the numbers", tag("ul", *notes, class_="findings"))


def _training(comparison: Comparison) -> Markup | None:
    drawn = charts.curves(comparison)
    if drawn is None:
        return None
    shown = figure(f"val/{comparison.main_metric} after every epoch", drawn.chart)
    return section(
        "Learning curves",
        _legend(comparison, drawn.systems),
        tag("div", shown, class_="wide scroll"),
        *drawn.text(),
    )


def _cost(comparison: Comparison) -> Markup:
    figures = [
        tag("div", figure(title, drawn.chart), tag("div", *drawn.text()), class_="pair")
        for title, drawn in charts.costs(comparison)
    ]
    heads = ("system", "seconds", "training FLOPs", "parameters", "peak MiB")
    flops = charts.of_systems(comparison, lambda run: run.compute.get("training_flops"))
    rows = []
    for place, system in enumerate(comparison.systems):
        runs = [comparison.runs[number] for number in system.runs]
        rows.append([
            join(badge(place), " ", system.name),
            f"{sum(run.seconds for run in runs) / len(runs):,.1f}",
            compact(flops[place]) if place in flops else "not counted", _count(runs[0].parameters),
            f"{max(run.peak_memory_mebibytes for run in runs):,.0f}",
        ])  # fmt: skip
    caption = (
        "Means over runs, the peak the largest of them; seconds are of the whole run but for "
        "preparing the data, on the machine that it ran on."
    )
    listed = table(caption, heads, rows, right=range(1, len(heads)))
    return section("Quality against compute", *figures, listed)


def _popularity(comparison: Comparison) -> Markup | None:
    drawn = charts.popularity(comparison)
    if drawn is None:
        return None
    said = [*drawn.text()]
    without = [s.name for n, s in enumerate(comparison.systems) if n not in drawn.systems]
    if without:
        said.append(tag("p", f"Not measured of: {', '.join(without)}.", class_="lead"))
    shown = figure("Quality against popularity", drawn.chart)
    return section("Popularity bias", tag("div", shown, tag("div", *said), class_="pair"))


def _legend(comparison: Comparison, places: Sequence[int]) -> Markup:
    return legend({place: comparison.systems[place].name for place in places})


def _count(number: int | None) -> str:
    return "none" if number is None else f"{number:,}"


def _what_differs(comparison: Comparison) -> Markup | None:
    if not comparison.differing:
        return None
    heads = ("setting", *system_heads(comparison))
    shared: list[list[str]] = []
    own: list[list[str]] = []
    for key, values in comparison.differing.items():
        row = [key, *(tables.setting(value) for value in values)]
        (own if tables.only_absent(values) else shared).append(row)
    parts = []
    if shared:
        listed = table("Settings that systems have in common, with other values.", heads, shared)
        parts.append(tag("div", listed, class_="scores"))
    if own:
        listed = table("Nothing stands where a system has no such setting.", heads, own)
        said = tag("summary", f"{len(own)} settings that only some systems have")
        parts.append(tag("details", said, tag("div", listed, class_="scores")))
    return section("What differs", *parts)


def _runs(comparison: Comparison) -> Markup:
    rows = [
        [run.system, str(run.seed), run.created[:16].replace("T", " "),
         (run.commit or "not known")[:12], run.folder]
        for run in comparison.runs
    ]  # fmt: skip
    heads = ("system", "seed", "begun", "code", "folder")
    listed = table("Every run.", heads, rows, right=(1, 2))
    left = [tag("p", f"Left out: {item.folder}: {item.reason}") for item in comparison.left_out]
    fields = [
        (key, tables.setting(value) or "null")
        for key, value in flatten(dict(comparison.protocol)).items()
    ]
    shown = fact_list(fields, code=True)
    return section("Runs and protocol", listed, *left, tag("h3", "Protocol"), shown)
