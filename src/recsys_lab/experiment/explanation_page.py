"""An explanation as one HTML page: recommendations by events, every cause a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lab.pages.markup import render

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
    return render(
        "experiment/explanation_page.html",
        e=explanation,
        recommended=explanation.items,
        heading=heading,
        how=_HOW[explanation.method],
        largest=max((abs(c) for row in explanation.attributions for c in row), default=0.0) or 1.0,
    )
