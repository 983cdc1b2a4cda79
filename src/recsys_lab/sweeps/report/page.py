"""The report of a sweep: one HTML page, readable offline and on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.pages.markup import Markup, join, tag
from recsys_lab.pages.page import fact_list, figure, page, section, table
from recsys_lab.sweeps.report import charts
from recsys_lab.sweeps.report.summary import (
    NONE_ENDED,
    NONE_KEEPS,
    TOP_HEADS,
    best_rows,
    cost_facts,
    format_point,
    head_facts,
    space_rows,
    top_rows,
)

if TYPE_CHECKING:
    from recsys_lab.sweeps.report.summary import SweepSummary


def html(story: SweepSummary) -> str:
    """The page's text."""
    parts: list[Markup | None] = [_head(story), _searched(story)]
    if story.complete:
        parts += [_best(story), _seeds(story), _history(story), _front(story), _importance(story),
                  _parallel(story), _slices(story)]  # fmt: skip
    parts += [_curves(story), _ends(story)]
    return page(f"{story.name}: sweep", *(part for part in parts if part))


def _head(story: SweepSummary) -> Markup:
    counts = story.counts
    tiles = [
        ("trials ended", str(counts["complete"] + counts["pruned"] + counts["failed"])),
        ("pruned", str(counts["pruned"])),
        ("failed", str(counts["failed"])),
    ]
    said = f"{NONE_KEEPS}." if story.complete else f"{NONE_ENDED}; the causes stand below."
    if story.best:
        best = story.ranked[0]
        tiles.insert(0, (f"best {story.objectives[0]}", f"{best.values[0]:.4g}"))
        said = f"Best of the search: trial {best.number} with {format_point(best.params)}."
        if len(story.directions) > 1:
            said = f"{len(story.best)} trials form the Pareto front of {len(story.complete)}."
    return tag(
        "header",
        tag("p", "Sweep", class_="kicker"),
        tag("h1", story.name),
        tag("p", said, class_="lead"),
        *(tag("p", sentence) for sentence in story.said),
        tag("dl", *(tag("div", tag("dt", n), tag("dd", v)) for n, v in tiles), class_="figures"),
    )


def _searched(story: SweepSummary) -> Markup:
    listed = table("Every searched key.", ("key", "values", "when"), space_rows(story))
    base = [
        tag("h3", "Every trial"),
        tag("p", tag("code", " ".join(story.base) or "the defaults of train")),
    ]
    return section("What was searched", listed, *base, fact_list(head_facts(story)))


def _best(story: SweepSummary) -> Markup:
    heads = ("trial", *story.objectives, "parameters")
    what = "of the Pareto front" if len(story.directions) > 1 else "the best"
    listed = table(
        f"Starred: {what}. Values are the validation split's; no trial opens the test split.",
        heads, best_rows(story), right=range(1, len(heads) - 1),
    )  # fmt: skip
    if not story.best:
        return section("Best trials", listed, tag("p", f"{NONE_KEEPS}."))
    whose = "The winner over several seeds" if story.top else "The best one"
    again = tag("p", f"{whose} again, with its test: ", tag("code", story.command))
    return section("Best trials", listed, again)


def _seeds(story: SweepSummary) -> Markup | None:
    if not story.top:
        return None
    shown = tag(
        "div",
        *(
            figure(f"{phase.capitalize()} {story.metric}", charts.seeds_chart(story, phase))
            for phase in ("validation", "test")
        ),
        class_="pair",
    )
    caption = (
        f"{story.metric}, mean ± standard deviation over seeds that the search did not use, beside "
        "the value of the search. The winner is chosen by validation; test has no say."
    )
    listed = table(caption, TOP_HEADS, top_rows(story), right=range(1, 5))
    said = [tag("p", sentence) for sentence in story.said]
    return section("The best with several seeds", *said, shown, listed)


def _history(story: SweepSummary) -> Markup:
    shown = [
        tag("div", figure(name, charts.history_chart(story, place)), class_="wide scroll")
        for place, name in enumerate(story.objectives)
    ]
    return section("History", *shown)


def _front(story: SweepSummary) -> Markup | None:
    if len(story.directions) < 2:
        return None
    caption = f"{story.objectives[0]} and {story.objectives[1]}"
    chart = figure(caption, charts.front_chart(story))
    return section("Pareto front", tag("div", chart, class_="wide scroll"))


def _importance(story: SweepSummary) -> Markup:
    shares, method = story.importance
    if not shares:
        return section("Importance", tag("p", f"Not known: {method}."))
    largest = max(shares.values()) or 1.0
    rows = [
        [
            key,
            join(
                f"{share:.1%}",
                tag("span", tag("span", style=f"width:{100 * share / largest:.1f}%"),
                    class_="track", aria_hidden="true"),
            ),
        ]
        for key, share in shares.items()
    ]  # fmt: skip
    caption = f"Share in the differences of {story.objectives[0]} between trials, by {method}."
    return section("Importance", table(caption, ("key", "share"), rows))


def _parallel(story: SweepSummary) -> Markup:
    chart = figure("Better trials are drawn stronger", charts.parallel(story))
    return section("Parallel coordinates", tag("div", chart, class_="wide scroll"))


def _slices(story: SweepSummary) -> Markup:
    shown = [
        figure(dimension.key, chart)
        for dimension in story.space.dimensions
        if (chart := charts.slice_chart(story, dimension, 0)) is not None
    ]
    return section("Slices", tag("div", *shown, class_="pair"))


def _curves(story: SweepSummary) -> Markup | None:
    chart = charts.curves_chart(story)
    if chart is None:
        return None
    shown = figure(f"{story.objectives[0]} after every validation", chart)
    return section("Learning curves", tag("div", shown, class_="wide scroll"))


def _ends(story: SweepSummary) -> Markup:
    parts = [fact_list(cost_facts(story))]
    if story.failures:
        rows = [(str(number), cause) for number, cause in story.failures]
        parts.insert(0, table("Trials that failed.", ("trial", "cause"), rows))
    return section("Failures and cost", *parts)
