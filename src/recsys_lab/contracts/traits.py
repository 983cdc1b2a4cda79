"""What a model must have and what it may state of itself: the one place that reads either.

Attributes are stated here, with their defaults, and read through `traits`; so a model writes only
those that differ, in its class or on the object, and needs no base class. Methods that are optional
have protocols of their own in `recsys_lab.contracts.roles`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from torch import nn

from recsys_lab.config import UserError
from recsys_lab.contracts.roles import FittedModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Traits:
    """The attributes by which a model says how it is to be fed, trained and judged.

    Attributes:
        window: most recent events of a history that it reads; None: all of them. Every model has
            it, and only a fitted one may have None.
        features: columns that it reads: see `Batch.features`.
        one_target: in training, each history has one target, its last event, and every beginning
            of a window is a history of its own. For models in which an event sees later ones.
        mask_probability: share of the events of a training batch that it predicts (Cloze).
        reads_next_time: it reads `Batch.next_times_B`, which leaks: the run is marked.
        ignores_seed: nothing in it is drawn at random, so that one run stands for all seeds.
        cosine: ``recommend`` ranks by the cosine of state and item instead of their product; set to
            true by the lab for a loss that trains cosines. None: it cannot.
        items: module that gives the vectors of items by index, called once with a batch's events:
            for `recsys_lab.evaluation.attribution.integrated_gradients`. None: there is none.
        blocks: module with its layers, for the estimate of the memory that training needs.
    """

    window: int | None = None
    features: Sequence[str] = ()
    one_target: bool = False
    mask_probability: float = 1.0
    reads_next_time: bool = False
    ignores_seed: bool = False
    cosine: bool | None = None
    items: nn.Module | None = None
    blocks: nn.Module | None = None


def traits(model: object) -> Traits:
    """What a model, or its class, states; the defaults of what it does not.

    Read anew each time: inputs may give a model features after it is made.
    """
    stated: dict[str, Any] = {f.name: getattr(model, f.name, f.default) for f in fields(Traits)}
    return Traits(**stated)


_ALWAYS = {
    "window": "how many recent events it reads; None for all, where it is fitted",
    "recommend(batch, k, exclude)": "the k best items of each user (recsys_lab.models.ranking)",
}
_TRAINED = {
    "training_states(batch)": "states to be trained, (N, D), and their targets, (N,)",
    "item_table()": "vectors of all items, (V, D)",
}
_FITTED = {
    "fit(data)": "learn from the training part",
    "arrays()": "what was learned, as NumPy arrays by name",
    "load_arrays(arrays, data)": "the reverse",
}


def check_model(model: Any) -> None:
    """Refuse a model that lacks what the lab calls, before anything is trained.

    Raises:
        UserError: with the table of what is needed.
    """
    trained = isinstance(model, nn.Module) and not isinstance(model, FittedModel)
    needed = {**_ALWAYS, **(_TRAINED if trained else _FITTED)}
    lacking = [what for what in needed if not hasattr(model, what.partition("(")[0])]
    kind = type(model)
    if not lacking and trained and model.window is None:
        raise UserError(
            f"model: {kind.__module__}.{kind.__qualname__}: window is None, and a trained model "
            "reads a number of events; give a whole number"
        )
    if lacking:
        raise UserError("\n".join([
            f"model: {kind.__module__}.{kind.__qualname__} lacks {', '.join(lacking)}. Needed of",
            *_table("any model", _ALWAYS, lacking),
            *_table("a trained one (torch.nn.Module)", _TRAINED, lacking),
            *_table("one that is fitted in one pass", _FITTED, lacking),
        ]))  # fmt: skip


def _table(heading: str, needed: dict[str, str], lacking: list[str]) -> Iterator[str]:
    yield f"  {heading}:"
    for what, meaning in needed.items():
        yield f"  {'->' if what in lacking else '  '} {what:<30}{meaning}"
