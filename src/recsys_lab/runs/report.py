"""The report of a comparison: one HTML page, readable offline and on paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recsys_lab.pages.dots import colour_of, legend
from recsys_lab.pages.markup import Markup, join, tag
from recsys_lab.pages.page import fact_list, figure, page, section, table
from recsys_lab.runs import report_charts as charts
from recsys_lab.runs import tables
from recsys_lab.runs.collect import flatten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.runs.comparison import Comparison, Metric, System


@dataclass(frozen=True)
class Example:
    """A user, and what every system recommends.

    Attributes:
        user: raw id.
        history: titles of the latest events, oldest first.
        targets: titles.
        lists: for each system in order: titles, and whether each is a target.
    """

    user: str
    history: Sequence[str]
    targets: Sequence[str]
    lists: Sequence[Sequence[tuple[str, bool]]]


@dataclass(frozen=True)
class Examples:
    """Some users.

    Attributes:
        said: how they were chosen, or why there are none.
        users: the users.
    """

    said: str
    users: Sequence[Example]


def html(comparison: Comparison, examples: Examples) -> str:
    """The page's text."""
    parts = [
        _head(comparison), _results(comparison), _differences(comparison), _notes(comparison),
        _slices(comparison), _training(comparison), _trade_offs(comparison),
        _examples(comparison, examples), _what_differs(comparison), _runs(comparison),
    ]  # fmt: skip
    title = tables.marked(comparison, tables.heading(comparison))
    return page(f"{title}: comparison", *(part for part in parts if part))


def _head(comparison: Comparison) -> Markup:
    metric = comparison.metric
    ranks = comparison.ranks(metric)
    best = comparison.systems[ranks.index(1)]
    score = best.scores[metric.name]
    tiles = [
        (f"best {metric.name}", tables.number(score.mean)),
        ("systems", str(len(comparison.systems))),
        ("runs", str(len(comparison.runs))),
        ("test users", f"{metric.users:,}" if metric.users else "not the same"),
    ]
    return tag(
        "header",
        tag("p", "Comparison", class_="kicker"),
        tag("h1", tables.marked(comparison, tables.heading(comparison))),
        tag("p", f"Highest mean {metric.name}: {best.name}." if metric.higher_is_better
            else f"Lowest mean {metric.name}: {best.name}.", class_="lead"),
        tag("dl", *(tag("div", tag("dt", n), tag("dd", v)) for n, v in tiles), class_="figures"),
    )  # fmt: skip


def _results(comparison: Comparison) -> Markup:
    drawn = [
        figure(f"test {metric.name}", chart)
        for metric in charts.shown_metrics(comparison)
        if (chart := charts.bars(comparison, metric)) is not None
    ]
    rows = [
        [
            tables.metric_label(metric),
            *(
                _score(comparison, metric, system, rank)
                for system, rank in zip(
                    comparison.systems, comparison.ranks(metric), strict=True
                )
            ),
        ]
        for metric in comparison.metrics
    ]  # fmt: skip
    heads = ["metric", *(f"{s.name}, {tables.runs_of(s)}" for s in comparison.systems)]
    listed = table(tables.legend(comparison), heads, rows, right=range(1, len(heads)))
    return section("Results", tag("div", *drawn, class_="pair"), listed)


def _score(comparison: Comparison, metric: Metric, system: System, rank: int) -> Markup:
    score = system.scores[metric.name]
    mean: Markup | str = tables.number(score.mean)
    if len(comparison.systems) > 1 and rank in (1, 2):
        mean = tag("b" if rank == 1 else "u", str(mean))
    sd = "" if score.sd is None else f" ± {tables.number(score.sd)}"
    star = tables.baseline_mark(comparison, metric, system)
    return join(mean, sd, star)


def _differences(comparison: Comparison) -> Markup | None:
    pairs = [pair for pair in comparison.pairs if pair.metric == comparison.main_metric]
    if not pairs:
        return None
    heads = (
        "pair", "difference", "95% interval", "relative", "p", "p Holm", "d_z", "win/tie/loss",
    )  # fmt: skip
    rows = [[f"{pair.first} - {pair.second}", *tables.pair_cells(pair)] for pair in pairs]
    caption = f"{comparison.main_metric}, the same users in both systems."
    return section(
        "Differences, user by user", table(caption, heads, rows, right=range(1, len(heads)))
    )


def _notes(comparison: Comparison) -> Markup | None:
    if not comparison.notes:
        return None
    notes = (tag("li", tag("p", note)) for note in comparison.notes)
    return section("To be said beside the numbers", tag("ul", *notes, class_="findings"))


def _slices(comparison: Comparison) -> Markup | None:
    if not comparison.slices:
        return None
    heads = ["slice", "users", *(system.name for system in comparison.systems)]
    rows = []
    for part in comparison.slices:
        best = max((mean.value for mean in part.means), default=0.0) or 1.0
        cells = [
            tag("td", tables.number(mean.value), class_="n",
                style="background:color-mix(in srgb, var(--accent) "
                      f"{max(0.0, 38 * mean.value / best):.0f}%, transparent)")
            for mean in part.means
        ]  # fmt: skip
        rows.append(
            tag("tr", tag("th", f"{part.name}: {part.value}", scope="row"),
                tag("td", f"{part.users:,}", class_="n"), *cells)
        )  # fmt: skip
    head = [tag("th", text, scope="col", class_="n" if n else "") for n, text in enumerate(heads)]
    caption = f"{comparison.main_metric}; in each row the strongest colour is the highest value."
    shown = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *rows),
        class_="heat",
    )  # fmt: skip
    return section("Slices", tag("div", shown, class_="scroll"))


def _training(comparison: Comparison) -> Markup | None:
    chart = charts.curves(comparison)
    if chart is None:
        return None
    names = legend([system.name for system in comparison.systems])
    shown = figure(f"val/{comparison.main_metric} after every epoch", chart)
    return section("Learning curves", names, tag("div", shown, class_="wide scroll"))


def _trade_offs(comparison: Comparison) -> Markup:
    names = legend([system.name for system in comparison.systems])
    shown = [figure("Quality against time, with the Pareto front", charts.cost(comparison))]
    bias = charts.popularity(comparison)
    if bias is not None:
        shown.append(figure("Quality against popularity bias", bias))
    heads = ("system", "seconds", "peak MiB", "parameters")
    rows = []
    for system in comparison.systems:
        runs = [comparison.runs[number] for number in system.runs]
        weights = runs[0].parameters
        rows.append([
            system.name, f"{sum(r.seconds for r in runs) / len(runs):,.1f}",
            f"{max(r.peak_memory_mebibytes for r in runs):,.0f}",
            "none" if weights is None else f"{weights:,}",
        ])  # fmt: skip
    listed = table("Means over runs; the peak is the largest.", heads, rows, right=range(1, 4))
    return section("Cost and bias", names, tag("div", *shown, class_="pair"), listed)


def _examples(comparison: Comparison, examples: Examples) -> Markup:
    return section(
        "Example users",
        tag("p", examples.said),
        *(_example(comparison, example) for example in examples.users),
    )


def _example(comparison: Comparison, example: Example) -> Markup:
    lists = []
    for place, (system, titles) in enumerate(zip(comparison.systems, example.lists, strict=True)):
        items = [tag("li", t, class_="hit") if hit else tag("li", t) for t, hit in titles]
        hit = any(hit for _, hit in titles)
        swatch = tag("span", class_="swatch", style=f"background:{colour_of(place)}")
        lists.append(
            tag("div", tag("h3", swatch, f" {system.name}: {'hit' if hit else 'miss'}"),
                tag("ol", *items))
        )  # fmt: skip
    return tag(
        "article",
        tag("h3", f"User {example.user}"),
        fact_list([
            ("latest events", "; ".join(example.history)),
            ("wanted", "; ".join(example.targets)),
        ]),
        tag("div", *lists, class_="lists"),
    )  # fmt: skip


def _what_differs(comparison: Comparison) -> Markup | None:
    if not comparison.differing:
        return None
    heads = ("setting", *(system.name for system in comparison.systems))
    rows = [
        [key, *(tables.setting(value) for value in values)]
        for key, values in comparison.differing.items()
    ]
    return section("What differs", table("Settings that are not the same everywhere.", heads, rows))


def _runs(comparison: Comparison) -> Markup:
    rows = [
        [run.system, str(run.seed), run.created[:16].replace("T", " "), run.commit or "not known",
         run.folder]
        for run in comparison.runs
    ]  # fmt: skip
    listed = table("Every run.", ("system", "seed", "begun", "code", "folder"), rows)
    left = [tag("p", f"Left out: {item.folder}: {item.reason}") for item in comparison.left_out]
    fields = [
        (key, tables.setting(value)) for key, value in flatten(dict(comparison.protocol)).items()
    ]
    return section("Runs and protocol", listed, *left, tag("h3", "Protocol"), fact_list(fields))
