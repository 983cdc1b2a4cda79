"""What a model must have and what it may state of itself: the one place that reads either.

Attributes are stated here, with their defaults, and read through `traits`; so a model writes only
those that differ, in its class or on the object, and needs no base class. Methods that are optional
have protocols of their own in `recsys_lab.contracts.protocols`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from torch import nn

from recsys_lab.config import UserError
from recsys_lab.contracts.protocols import FittedModel

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        reads_times: it cannot rank without `Batch.timestamps_T`.
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
    reads_times: bool = False
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


_ANY, _TRAINED, _FITTED = (
    "any model",
    "one that is trained, a torch.nn.Module",
    "one that is fitted",
)
_NEEDED = {
    _ANY: {
        "window": "most recent events that it reads; None for all, if it is fitted",
        "recommend(batch, k, exclude)": "the k best items of each user",
    },
    _TRAINED: {
        "training_states(batch)": "states to be trained, (N, D), and their targets, (N,)",
        "item_table()": "vectors of all items, (V, D)",
    },
    _FITTED: {
        "fit(data)": "learn from the training part",
        "arrays()": "what was learned, as NumPy arrays by name",
        "load_arrays(arrays, data)": "the reverse of arrays",
    },
}


def check_model(model: Any) -> None:
    """Refuse a model that lacks what the lab calls, before anything is trained.

    Raises:
        UserError: with the table of what is needed.
    """
    is_trained = isinstance(model, nn.Module) and not isinstance(model, FittedModel)
    needed = [*_NEEDED[_ANY], *_NEEDED[_TRAINED if is_trained else _FITTED]]
    lacking = [what for what in needed if not hasattr(model, what.partition("(")[0])]
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    if lacking:
        lines = [f"model: {name} lacks {', '.join(lacking)}. What is needed:"]
        for kind, rows in _NEEDED.items():
            lines.append(f"  {kind}:")
            lines += [f"  {'->' if w in lacking else '  '} {w:<30}{m}" for w, m in rows.items()]
        raise UserError("\n".join(lines))
    if is_trained and model.window is None:
        raise UserError(
            f"model: {name}: window is None, and a trained model reads a number of events; give a "
            "whole number"
        )
