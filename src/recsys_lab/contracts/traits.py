"""Required and optional attributes of models; all code reads them through `traits`.

`Traits` lists the optional attributes with their defaults. A model sets only those that differ, on
its class or instance, and needs no base class. Optional methods are protocols in
`recsys_lab.contracts.protocols`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

from torch import nn

from recsys_lab.config import UserError
from recsys_lab.contracts.protocols import FittedModel
from recsys_lab.contracts.semantic_ids import MakesLoss


@dataclass(frozen=True)
class Traits:
    """Attributes of a model that say how it is trained and evaluated.

    Attributes:
        window: number of most recent events that it reads; None: all. Required; only a fitted
            model may have None.
        features: columns that it reads: see `Batch.features`.
        one_target: in training, each history has one target, its last event, and every prefix of a
            window is a separate history. For models in which an event sees later ones.
        mask_probability: share of the events of a training batch that it predicts (Cloze).
        reads_next_time: it reads `Batch.next_times_B`, which is a leak: the run is marked.
        reads_times: it needs `Batch.timestamps_T`.
        reads_vectors: it needs `SemanticIds.vectors_VE`, which are then kept in the run's folder.
        ignores_seed: the model is deterministic, so that one run is enough for all seeds.
        cosine: whether ``recommend`` ranks by the cosine of state and item instead of their dot
            product; set to true by the lab for a loss that trains cosines. None: not supported.
        items: item embedding module, called once with a batch's items: for
            `recsys_lab.evaluation.attribution.integrated_gradients`. None: not supported.
        blocks: module of its layers, for the estimate of the training memory.
        tokens_per_event: number of tokens for each event in ``blocks``, for the same.
        target_blocks: module of further layers, which run on the tokens of each history's target
            alone, as many as for an event; for the same.
        diagnostics: names of the numbers that its lists have in `RankedLists.diagnostics`.
        users_at_once: largest number of users that it ranks in one call; None: no limit.
    """

    window: int | None = None
    features: Sequence[str] = ()
    one_target: bool = False
    mask_probability: float = 1.0
    reads_next_time: bool = False
    reads_times: bool = False
    reads_vectors: bool = False
    ignores_seed: bool = False
    cosine: bool | None = None
    items: nn.Module | None = None
    blocks: nn.Module | None = None
    tokens_per_event: int = 1
    target_blocks: nn.Module | None = None
    diagnostics: Sequence[str] = ()
    users_at_once: int | None = None


def traits(model: object) -> Traits:
    """The attributes of a model or its class, with defaults for those that it does not set.

    Not cached: `Inputs` may change a model's features after it is built.
    """
    stated: dict[str, Any] = {f.name: getattr(model, f.name, f.default) for f in fields(Traits)}
    return Traits(**stated)


_ANY, _TRAINED, _OWN_LOSS, _FITTED = (
    "any model",
    "a trained model, a torch.nn.Module",
    "a trained model with its own loss",
    "a fitted model",
)
_NEEDED = {
    _ANY: {
        "window": "number of most recent events that it reads; None for all, if it is fitted",
        "recommend(batch, k, exclude)": "the k best items of each user",
    },
    _TRAINED: {
        "training_states(batch)": "states that predict, (N, D), and their targets, (N,)",
        "item_table()": "vectors of all items, (V, D)",
    },
    _OWN_LOSS: {"training_loss(batch)": "the mean loss of a batch, and its parts by name"},
    _FITTED: {
        "fit(data)": "learn from the training part",
        "arrays()": "the fitted parameters, as NumPy arrays by name",
        "load_arrays(arrays, data)": "the reverse of arrays",
    },
}


def needed_of_model(cls: type[Any]) -> dict[str, str]:
    """What a class of models needs: methods, with their arguments, and attributes, by name."""
    is_trained = issubclass(cls, nn.Module) and not issubclass(cls, FittedModel)
    trained = _OWN_LOSS if issubclass(cls, MakesLoss) else _TRAINED
    return {**_NEEDED[_ANY], **_NEEDED[trained if is_trained else _FITTED]}


def what_models_need(name: str, lacking: Sequence[str]) -> str:
    """A message with a table of what every kind of model needs, and what the named class lacks."""
    lines = [f"model: {name} lacks {', '.join(lacking)}. What is needed:"]
    for kind, rows in _NEEDED.items():
        lines.append(f"  {kind}:")
        lines += [f"  {'->' if w in lacking else '  '} {w:<30}{m}" for w, m in rows.items()]
    return "\n".join(lines)


def check_model(model: Any) -> None:
    """Check that a model has the required attributes and methods, before anything is trained.

    Raises:
        UserError: one is missing; the message has a table of all that are needed.
    """
    needed = needed_of_model(type(model))
    lacking = [member for member in needed if not hasattr(model, member.partition("(")[0])]
    is_trained = not isinstance(model, FittedModel)
    name = f"{type(model).__module__}.{type(model).__qualname__}"
    if lacking:
        raise UserError(what_models_need(name, lacking))
    window = model.window
    if (is_trained or window is not None) and not (
        isinstance(window, Integral) and int(window) >= 1
    ):
        raise UserError(
            f"model: {name}: window is {window!r}, expected a whole number of at least 1"
            f"{' for a trained model' if is_trained else ', or None'}; set it to the number of "
            "events that the model reads"
        )
