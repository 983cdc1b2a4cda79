"""Attributions of a run's recommendations to the events of the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import NO_ITEM, Batch
from recsys_lab.data.histories import feature_rows
from recsys_lab.data.raw_ids import UNKNOWN, RawIds
from recsys_lab.evaluation.attribution import integrated_gradients
from recsys_lab.evaluation.occlusion import Replacements, occlusion
from recsys_lab.pages.markup import render
from recsys_lab.pages.number_format import DAY
from recsys_lab.pages.table import Span, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from omegaconf import DictConfig
    from torch import Tensor

    from recsys_lab.experiment.components import Components
    from recsys_lab.pages.table import Cell

_OCCLUSION = (
    "Each number is the recommendation's score minus its mean score with another item as that "
    "event ({which}). The history keeps its length, positions and times. An event that the model "
    "does not use gets 0."
)
_DRAWN = "{number} items, drawn by their number of training events"
_ERRORS = " The number after ± is the standard error from the choice of these items."
_GRADIENTS = (
    "Integrated gradients: the numbers of a recommendation sum, within 1%, to its score minus the "
    "score for a history of zero vectors."
)
_FEWEST = 3  # replacements, so that one differs from the event and the explained item
_ROUNDING = 1e-5  # of scores, relative to the largest


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
        meaning: what an attribution means, in words.
        history: titles of the events that the model read, oldest first.
        history_ids: raw ids of their items.
        times: their times (UTC), in ISO format; None if the log has none.
        items: titles of the list.
        ids: raw ids of the list.
        hits: whether each item of the list is a target.
        scores: scores of the list.
        attributions: for each item of the list a number per event; positive ones raised the score.
        errors: their standard errors; None if the method does not sample.
        wanted: titles of the targets.
    """

    model: str
    user: str
    list_number: int
    num_lists: int
    phase: str
    method: str
    meaning: str
    history: list[str]
    history_ids: list[str]
    times: list[str] | None
    items: list[str]
    ids: list[str]
    hits: list[bool]
    scores: list[float]
    attributions: list[list[float]]
    errors: list[list[float]] | None
    wanted: list[str]

    @property
    def heading(self) -> str:
        """What is explained; with several lists, of which list."""
        which = f": list {self.list_number} of {self.num_lists}" if self.num_lists > 1 else ""
        return f"Why user {self.user} got these recommendations{which}"

    @property
    def largest(self) -> float:
        """Largest absolute attribution."""
        return max((abs(value) for row in self.attributions for value in row), default=0.0)

    @property
    def decimals(self) -> int:
        """Decimals of all numbers: three significant digits of the largest attribution."""
        exponent = int(f"{self.largest:e}".partition("e")[2])
        return min(8, max(1, 2 - exponent)) if self.largest else 3

    @property
    def finding(self) -> str:
        """A sentence if no event changes a score; else empty."""
        if self.largest > _ROUNDING * max(map(abs, self.scores), default=1.0):
            return ""
        return (
            f"No event of the history changes these scores: for this user, {self.model} does not "
            "use it"
        )

    def is_clear(self, item: int, event: int) -> bool:
        """Whether an attribution is more than two standard errors from 0."""
        if self.errors is None:
            return True
        return abs(self.attributions[item][event]) > 2 * self.errors[item][event]

    def strongest(self, item: int) -> list[int]:
        """The events by absolute attribution, those that are clear first."""
        causes = self.attributions[item]
        return sorted(
            range(len(causes)), key=lambda t: (not self.is_clear(item, t), -abs(causes[t]))
        )

    def number(self, item: int, event: int) -> str:
        """An attribution, with its standard error if there is one."""
        text = f"{self.attributions[item][event]:+.{self.decimals}f}"
        if self.errors is None:
            return text
        return f"{text} ±{self.errors[item][event]:.{self.decimals}f}"


def explain(parts: Components, name: str, cfg: DictConfig) -> Explanation:
    """The list of a user with attributions.

    Args:
        parts: components of a restored run.
        name: name of its model.
        cfg: ``user`` (raw id), ``list`` (number from 1; null: the last), ``k``, ``method``,
            ``replacements`` and ``phase`` of ``explain``.

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
    errors_KT: Tensor | None = None
    if cfg.method == "occlusion":
        others = _replacements(parts, history, cfg.replacements)
        with torch.inference_mode():
            causes_KT, errors_KT = occlusion(
                parts.model, history, items_K, data.num_items, others, at_once=parts.users_at_once
            )
        if others.are_all:
            errors_KT, meaning = None, _OCCLUSION.format(which="all items with training events")
        else:
            drawn = _DRAWN.format(number=len(others.events.items_T))
            meaning = _OCCLUSION.format(which=drawn) + _ERRORS
    else:
        causes_KT, meaning = integrated_gradients(parts.model, history, items_K), _GRADIENTS
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
        meaning=meaning,
        history=[titles[item] for item in events],
        history_ids=[item_ids[item] for item in events],
        times=None if history.timestamps_T is None else _in_words(history.timestamps_T),
        items=[titles[item] for item in listed],
        ids=[item_ids[item] for item in listed],
        hits=[item in wanted for item in listed],
        scores=scores_K.tolist(),
        attributions=causes_KT.tolist(),
        errors=None if errors_KT is None else errors_KT.tolist(),
        wanted=[titles[item] for item in wanted],
    )


def explanation_page(explanation: Explanation) -> str:
    """The HTML page."""
    e = explanation
    heads = ["recommendation", "score", "strongest event", "effect"]
    rows: list[list[Cell]] = []
    for index, item in enumerate(e.items):
        title = [Span(f"{index + 1}. {item}"), Span(" (hit)" if e.hits[index] else "", "bold")]
        event, score = e.strongest(index)[0], f"{e.scores[index]:.{e.decimals}f}"
        rows.append([title, score, e.history[event], e.number(index, event)])
    caption = "A hit is an actual next item." if any(e.hits) else ""
    return render(
        "experiment/explanation_page.html",
        e=e,
        recommended=Table(caption, heads, rows, right=(1, 3)),
        largest=e.largest or 1.0,
    )


def _replacements(parts: Components, history: Batch, number: int) -> Replacements:
    """Different items, drawn by their number of training events; the same for every user."""
    counts_V = parts.data.training_item_counts()
    known = int((counts_V > 0).sum())
    if known < _FEWEST:
        raise UserError(
            "method: occlusion puts other items in an event's place, which needs at least "
            f"{_FEWEST} items with training events; these data have {known}"
        )
    number, shares_V = min(number, known), counts_V / counts_V.sum()
    items_M = np.random.default_rng(0).choice(len(counts_V), number, replace=False, p=shares_V)
    events = Batch(
        users_B=history.users_B.cpu(),
        items_T=torch.from_numpy(items_M),
        offsets=torch.tensor([0, number]),
        lengths=(number,),
        features={
            name: feature_rows(parts.data.features.column(name), items_M)
            for name in history.features
            if name.startswith("item.")
        },
    )
    return Replacements(events.to(parts.device), known)


def _in_words(seconds: Tensor) -> list[str]:
    """Times in ISO format, UTC: dates if all are at midnight, else to the minute."""
    seconds_T = seconds.cpu().numpy()
    times_T: NDArray[np.datetime64] = seconds_T.astype("datetime64[s]")
    texts = np.datetime_as_string(times_T, unit="m" if (seconds_T % DAY).any() else "D").tolist()
    return [text.replace("T", " ") for text in texts]


def _list_of(parts: Components, user: str, number: int | None, phase: str) -> tuple[int, int, int]:
    """Index of the user, number of the list from 1, and number of the user's lists."""
    segments = np.asarray(parts.data.segments(phase))
    ids = parts.data.raw_ids("user")
    examples = ", ".join(str(ids[int(index)]) for index in np.unique(segments[:, 0])[:3])
    [code] = RawIds(ids).indices([user])
    if code == UNKNOWN:
        raise UserError(
            f"user: {user!r} is not in the data; users of the {phase} split are e.g. {examples}"
        )
    rows = segments[segments[:, 0] == code]
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
