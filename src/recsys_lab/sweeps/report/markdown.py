"""The report of a sweep as Markdown."""

from __future__ import annotations

from recsys_lab.pages.markdown import code, line, plain
from recsys_lab.pages.table import Table
from recsys_lab.sweeps.report.page import best_table, failure_table, searched_table, top_table
from recsys_lab.sweeps.report.summary import (
    NONE_ENDED,
    NONE_KEEPS,
    SweepSummary,
    front_rows,
    head_facts,
)


def markdown(story: SweepSummary) -> str:
    """The whole report, without charts."""
    shares, method = story.importance
    best = best_table(story)
    parts = [
        f"# Sweep {plain(story.name)}",
        *map(line, story.sentences),
        Table("", (), head_facts(story)).markdown(),
        "## Searched",
        searched_table(story).markdown(),
        f"Every trial: {code(' '.join(story.base))}" if story.base else "",
        "## Best trials",
        best.markdown() if story.complete else f"{NONE_ENDED}.",
    ]
    if story.complete:
        parts.append(code(story.command) if story.best else f"{NONE_KEEPS}.")
    if story.best and len(story.directions) > 1:
        front = Table("", best.heads, front_rows(story), best.right)
        parts += ["## Pareto front", front.markdown()]
    if story.top:
        parts += ["## Best configs with several seeds", top_table(story).markdown()]
    parts += ["## Importance", f"By {plain(method)}." if shares else f"Unknown: {plain(method)}."]
    if shares:
        rows = [(key, f"{share:.1%}") for key, share in shares.items()]
        parts.append(Table("", ("key", "share"), rows, right=(1,)).markdown())
    if story.failures:
        parts += ["## Failures", failure_table(story).markdown()]
    return "\n\n".join(part for part in parts if part) + "\n"
