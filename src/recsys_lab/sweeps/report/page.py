"""The report of a sweep as a self-contained HTML page."""

from __future__ import annotations

from recsys_lab.pages.markup import join, render, track
from recsys_lab.pages.number_format import counted, decimals
from recsys_lab.pages.table import Table
from recsys_lab.sweeps.report import charts
from recsys_lab.sweeps.report.summary import (
    NONE_ENDED,
    NONE_KEEPS,
    TOP_HEADS,
    SweepSummary,
    best_rows,
    cost_facts,
    format_point,
    head_facts,
    space_rows,
    top_rows,
)


def html(story: SweepSummary) -> str:
    """The HTML page."""
    counts = story.counts
    tiles = [
        ("ended trials", str(counts["complete"] + counts["pruned"] + counts["failed"])),
        ("pruned", str(counts["pruned"])),
        ("failed", str(counts["failed"])),
    ]
    lead = f"{NONE_KEEPS}." if story.complete else f"{NONE_ENDED}; the causes are listed below."
    if story.best:
        best = story.ranked[0]
        tiles.insert(0, (f"best {story.objectives[0]}", decimals(best.values[:1])[0]))
        lead = f"Best of the search: trial {best.number} with {format_point(best.params)}."
        if len(story.directions) > 1:
            front, finished = len(story.best), counted(len(story.complete), "finished trial")
            lead = f"The Pareto front has {front} of {finished}."
    return render(
        "sweeps/report/page.html",
        story=story,
        charts=charts,
        tiles=tiles,
        lead=lead,
        none_keeps=NONE_KEEPS,
        head_facts=head_facts(story),
        cost_facts=cost_facts(story),
        searched=searched_table(story),
        best=best_table(story),
        top=top_table(story),
        importance=_importance(story),
        failures=failure_table(story),
    )


def searched_table(story: SweepSummary) -> Table:
    """The searched keys."""
    return Table("Every searched key.", ("key", "values", "when"), space_rows(story))


def failure_table(story: SweepSummary) -> Table:
    """Trials that failed."""
    return Table("Trials that failed.", ("trial", "cause"), story.failures)


def best_table(story: SweepSummary) -> Table:
    """The best trials."""
    what = "the Pareto front" if len(story.directions) > 1 else "the best"
    return Table(
        f"Starred: {what}. Values are of the validation split; trials do not use the test split.",
        ("trial", *story.objectives, "parameters"),
        best_rows(story) if story.complete else [],
        right=range(1, len(story.objectives) + 1),
    )


def top_table(story: SweepSummary) -> Table:
    """The retrained configs."""
    caption = (
        f"{story.metric}, mean ± standard deviation over seeds that the search did not use, and "
        "the value of the search. The winner is selected by validation, not by test."
    )
    return Table(caption, TOP_HEADS, top_rows(story), right=range(1, 5))


def _importance(story: SweepSummary) -> Table:
    shares, method = story.importance
    largest = max(shares.values(), default=0.0) or 1.0
    rows = [[key, join(f"{s:.1%}", track(s / largest))] for key, s in shares.items()]
    caption = f"Share of the variance of {story.objectives[0]} between trials, by {method}."
    return Table(caption, ("key", "share"), rows)
