"""An explanation as one HTML page: recommendations by events, every cause a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.pages.markup import Markup, tag
from recsys_lab.pages.page import fact_list, page, section

if TYPE_CHECKING:
    from recsys_lab.experiment.explain import Explanation

_HOW = {
    "occlusion": "Each number is the score with the whole history minus the score without that "
    "event (leave-one-out occlusion).",
    "integrated_gradients": "Integrated gradients: the numbers of a column sum, within 1%, to the "
    "score minus the score of a history of zero vectors.",
}


def explanation_page(explanation: Explanation) -> str:
    """The page's text."""
    heading = f"What moved the list of user {explanation.user}"
    if explanation.of_lists:
        heading += f": {explanation.of_lists}"
    head = tag(
        "header",
        tag("p", explanation.model, class_="kicker"),
        tag("h1", heading),
        tag("p", _HOW[explanation.method], class_="lead"),
    )
    facts = fact_list([
        ("split", explanation.phase),
        ("wanted", "; ".join(explanation.wanted)),
        ("events read", str(len(explanation.history))),
    ])  # fmt: skip
    causes = section(
        "Recommendations and the events that moved them",
        tag("div", _heat(explanation), class_="scroll"),
    )
    return page(heading, head, facts, causes)


def _heat(explanation: Explanation) -> Markup:
    """A row an event, newest first; a column a recommendation."""
    largest = max((abs(c) for row in explanation.attributions for c in row), default=0.0) or 1.0
    heads = [tag("th", "event, newest first", scope="col")]
    for place, (title, score, hit) in enumerate(
        zip(explanation.items, explanation.scores, explanation.hits, strict=True), start=1
    ):
        mark = "n hit" if hit else "n"
        heads.append(tag("th", f"{place}. {title} ({score:.2f})", scope="col", class_=mark))
    rows = []
    for event in reversed(range(len(explanation.history))):
        cells = []
        for causes in explanation.attributions:
            share = 45 * abs(causes[event]) / largest
            colour = "accent" if causes[event] >= 0 else "leak"
            style = f"background:color-mix(in srgb, var(--{colour}) {share:.0f}%, transparent)"
            cells.append(tag("td", f"{causes[event]:+.3f}", class_="n", style=style))
        rows.append(tag("tr", tag("th", explanation.history[event], scope="row"), *cells))
    caption = "Blue raised the score, red lowered it; the stronger, the more. Hits are green."
    return tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *heads)), tag("tbody", *rows),
        class_="heat causes",
    )  # fmt: skip
