"""The report of a sweep as Markdown, for notes and pull requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.sweeps.story import (
    TOP_HEADS,
    best_rows,
    head_facts,
    space_rows,
    top_rows,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.sweeps.story import Story


def markdown(story: Story) -> str:
    """The whole report; its charts are in the page beside it."""
    shares, method = story.importance
    parts = [
        f"# Sweep {story.name}",
        *story.said,
        _table(("", ""), head_facts(story)),
        "## Searched",
        _table(("Key", "Values", "When"), space_rows(story)),
        f"Every trial: `{' '.join(story.base)}`" if story.base else "",
        "## Best trials",
        _table(("Trial", *story.objectives, "Parameters"), best_rows(story))
        if story.complete
        else "No trial came to its end.",
        f"`{story.command}`" if story.complete else "",
    ]
    if story.top:
        parts += ["## The best with several seeds", _table(TOP_HEADS, top_rows(story))]
    parts += ["## Importance", f"By {method}." if shares else f"Not known: {method}."]
    if shares:
        parts.append(_table(("Key", "Share"), [(k, f"{v:.1%}") for k, v in shares.items()]))
    if story.failures:
        rows = [(str(number), cause) for number, cause in story.failures]
        parts += ["## Failures", _table(("Trial", "Cause"), rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
