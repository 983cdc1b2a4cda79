"""The report of a sweep as Markdown, for notes and pull requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.pages.markdown import code, line, plain, table
from recsys_lab.sweeps.report.summary import (
    NONE_ENDED,
    NONE_KEEPS,
    TOP_HEADS,
    best_rows,
    front_rows,
    head_facts,
    space_rows,
    top_rows,
)

if TYPE_CHECKING:
    from recsys_lab.sweeps.report.summary import SweepSummary


def markdown(story: SweepSummary) -> str:
    """The whole report; its charts are in the page beside it."""
    shares, method = story.importance
    parts = [
        f"# Sweep {plain(story.name)}",
        *map(line, story.said),
        table(("", ""), head_facts(story)),
        "## Searched",
        table(("Key", "Values", "When"), space_rows(story)),
        f"Every trial: {code(' '.join(story.base))}" if story.base else "",
        "## Best trials",
        table(("Trial", *story.objectives, "Parameters"), best_rows(story))
        if story.complete
        else f"{NONE_ENDED}.",
    ]
    if story.complete:
        parts.append(code(story.command) if story.best else f"{NONE_KEEPS}.")
    if story.best and len(story.directions) > 1:
        heads = ("Trial", *story.objectives, "Parameters")
        parts += ["## Pareto front", table(heads, front_rows(story))]
    if story.top:
        parts += ["## The best with several seeds", table(TOP_HEADS, top_rows(story))]
    parts += ["## Importance", f"By {plain(method)}." if shares else f"Not known: {plain(method)}."]
    if shares:
        parts.append(table(("Key", "Share"), [(k, f"{v:.1%}") for k, v in shares.items()]))
    if story.failures:
        rows = [(str(number), cause) for number, cause in story.failures]
        parts += ["## Failures", table(("Trial", "Cause"), rows)]
    return "\n\n".join(part for part in parts if part) + "\n"
