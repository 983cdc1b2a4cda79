"""Attributions of a run's recommendations to the events of the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import NO_ITEM
from recsys_lab.evaluation.attribution import integrated_gradients, occlusion
from recsys_lab.pages.markup import render

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.experiment.components import Components

_HOW = {
    "occlusion": "Each number is the score with the whole history minus the score without that "
    "event (leave-one-out occlusion).",
    "integrated_gradients": "Integrated gradients: the numbers of a column sum, within 1%, to the "
    "score minus the score of a history of zero vectors.",
}


@dataclass(frozen=True)
class Explanation:
    """A list with attributions to the events of the history.

    Attributes:
        model: name of the model.
        user: raw id.
        list_number: number of the list among the user's, from 1 (earliest).
        num_lists: number of the user's lists in the phase.
        phase: ``test`` or ``validation``.
        method: attribution method.
        history: titles of the events that the model read, oldest first.
        history_ids: raw ids of their items.
        items: titles of the list.
        ids: raw ids of the list.
        hits: whether each item of the list is a target.
        scores: scores of the list.
        attributions: for each item of the list a number per event; positive ones raised the score.
        wanted: titles of the targets.
    """

    model: str
    user: str
    list_number: int
    num_lists: int
    phase: str
    method: str
    history: list[str]
    history_ids: list[str]
    items: list[str]
    ids: list[str]
    hits: list[bool]
    scores: list[float]
    attributions: list[list[float]]
    wanted: list[str]

    @property
    def of_lists(self) -> str:
        """Which list it is, if the user has several, e.g. "list 1 of 3"; else empty."""
        return f"list {self.list_number} of {self.num_lists}" if self.num_lists > 1 else ""


def explain(parts: Components, name: str, cfg: DictConfig) -> Explanation:
    """The list of a user with attributions.

    Args:
        parts: components of a restored run.
        name: name of its model.
        cfg: ``user`` (raw id), ``list`` (number from 1; null: the last), ``k``, ``method`` and
            ``phase`` of ``explain``.

    Raises:
        UserError: the split has no such user or list, or the model does not support the method.
    """
    data = parts.data
    user, number, num_lists = _list_of(parts, cfg.user, cfg.list, cfg.phase)
    batch = parts.batches(cfg.phase).of_user(user, number - 1).to(parts.device)
    history = batch.history
    with torch.inference_mode():
        ranked = parts.model.recommend(history, cfg.k, parts.protocol.exclude(batch))
    kept = ranked.items_BK[0] != NO_ITEM
    items_K, scores_K = ranked.items_BK[0][kept], ranked.scores_BK[0][kept]
    if cfg.method == "occlusion":
        with torch.inference_mode():
            causes_KT = occlusion(parts.model, history, items_K, data.num_items)
    else:
        causes_KT = integrated_gradients(parts.model, history, items_K)
    item_ids = [str(item) for item in data.item_ids()]
    titles = data.item_titles() or item_ids
    events, listed = history.items_T.tolist(), items_K.tolist()
    wanted = batch.target_items.tolist()
    return Explanation(
        model=name,
        user=cfg.user,
        list_number=number,
        num_lists=num_lists,
        phase=cfg.phase,
        method=cfg.method,
        history=[titles[item] for item in events],
        history_ids=[item_ids[item] for item in events],
        items=[titles[item] for item in listed],
        ids=[item_ids[item] for item in listed],
        hits=[item in wanted for item in listed],
        scores=scores_K.tolist(),
        attributions=causes_KT.tolist(),
        wanted=[titles[item] for item in wanted],
    )


def explanation_page(explanation: Explanation) -> str:
    """The HTML page."""
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


def _list_of(parts: Components, user: str, number: int | None, phase: str) -> tuple[int, int, int]:
    """Index of the user, number of the list from 1, and number of the user's lists."""
    segments = np.asarray(parts.data.segments(phase))
    ids = [str(raw_id) for raw_id in parts.data.user_ids()]
    examples = ", ".join(ids[index] for index in np.unique(segments[:, 0])[:3])
    if user not in ids:
        raise UserError(
            f"user: {user!r} is not in the data; users of the {phase} split are e.g. {examples}"
        )
    rows = segments[segments[:, 0] == ids.index(user)]
    if not len(rows):
        raise UserError(
            f"user: {user!r} has no list, because none of their events is in the {phase} split; "
            f"users with a list are e.g. {examples}"
        )
    number = len(rows) if number is None else number
    if number > len(rows):
        raise UserError(
            f"list: got {number}, expected a number from 1 to {len(rows)}, the lists of user "
            f"{user!r} in the {phase} split; leave it out for the last"
        )
    index, start, end, _ = map(int, rows[number - 1])
    if end == start:
        which = f"list {number} of " if len(rows) > 1 else ""
        cure = "a later list, or another user" if number < len(rows) else "another user"
        raise UserError(
            f"user: {user!r} has no events before {which}the {phase} split, so there is nothing to "
            f"attribute to; choose {cure}"
        )
    return index, number, len(rows)
