"""Attribution by gradients of a recommended item's score to the events of the history.

See `recsys_lab.evaluation.occlusion` for models without gradients.

Shapes: T events of one user, K explained items, D width, S steps, V items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from recsys_lab.config import UserError, install_hint
from recsys_lab.contracts import NO_ITEM, Batch, RanksCandidates, ScoresByProduct, traits

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.contracts import Recommender

_STEPS = (64, 128, 256, 512)  # of the integral, increased until the attributions sum to the score
_STEPS_AT_A_TIME = 64  # to bound memory
_GAP = 0.01  # allowed error of their sum, relative to the sum of absolute attributions
_ROUNDING = 1e-4  # rounding error of float32 scores


def scores_of(model: Recommender, batch: Batch, items_K: Tensor, num_items: int) -> Tensor:
    """Scores of some items for every user of a batch, (B, K).

    From lists of these items if the model is a `RanksCandidates`, else of all items.

    Raises:
        UserError: an item is not in a list, so the model does not score it.
    """
    if isinstance(model, RanksCandidates):
        rows = torch.arange(batch.size, device=items_K.device).repeat_interleave(len(items_K))
        candidates = rows, items_K.repeat(batch.size)
        ranked = model.rank_candidates(batch, candidates, len(items_K))
    else:
        ranked = model.recommend(batch, num_items, None)
    scores_BV = ranked.scores_BK.new_full((batch.size, num_items + 1), -torch.inf).cpu()
    columns_BV = ranked.items_BK.cpu()
    columns_BV = torch.where(columns_BV == NO_ITEM, num_items, columns_BV)
    scores_BV.scatter_(1, columns_BV, ranked.scores_BK.cpu())
    scores_BK = scores_BV[:, items_K.cpu()]
    if bool(scores_BK.isinf().any()):
        raise UserError(
            f"method: {type(model).__name__} has no score for some of the items when an event is "
            "replaced, so the difference is not defined"
        )
    return scores_BK


def integrated_gradients(model: Any, history: Batch, items_K: Tensor) -> Tensor:
    """Integrated gradients from zero vectors to the item vectors of the history, (K, T).

    The attributions of an item sum to its score minus the score for zero vectors, with an error of
    at most 1% of their absolute sum: the steps of the integral (Gauss-Legendre) are doubled until
    this holds. Sundararajan et al., ICML 2017, https://arxiv.org/abs/1703.01365, with captum.

    Args:
        model: a dense model with ``items`` (called once with the events), ``query_states`` and
            ``item_table``.
        history: history of one user.
        items_K: item indices, int64.

    Raises:
        UserError: captum is not installed, the model has no such gradients, or the integral does
            not converge.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise UserError(
            f"method: integrated_gradients needs captum; {install_hint('explain')}, or use "
            "method=occlusion"
        ) from None
    stated = traits(model)
    if stated.items is None or not isinstance(model, ScoresByProduct):
        raise UserError(
            f"method: {type(model).__name__} has no gradients with respect to item vectors; use "
            "method=occlusion"
        )
    table_KD = model.item_table()[items_K].detach()

    def scores(x_STD: Tensor) -> Tensor:
        batch = joined([history] * len(x_STD))
        states_SD = _query(model, batch, x_STD.flatten(0, 1))
        if stated.cosine:
            normal = torch.nn.functional.normalize
            states_SD, unit_KD = normal(states_SD, dim=-1), normal(table_KD, dim=-1)
            return states_SD @ unit_KD.T
        scores_SK: Tensor = states_SD @ table_KD.T
        return scores_SK

    x_1TD = stated.items(history.items_T).detach().unsqueeze(0)
    method = IntegratedGradients(scores)
    # cuDNN's recurrent layers have no gradients in evaluation mode.
    with torch.backends.cudnn.flags(enabled=False):
        return torch.stack([_integral(method, x_1TD, k, model) for k in range(len(items_K))])


def _integral(method: Any, x_1TD: Tensor, k: int, model: Any) -> Tensor:
    """Attributions of the k-th item, (T,), with as many steps as needed."""
    for steps in _STEPS:
        causes_1TD, gap_1 = method.attribute(
            x_1TD,
            target=k,
            n_steps=steps,
            internal_batch_size=_STEPS_AT_A_TIME,
            return_convergence_delta=True,
        )
        causes_T: Tensor = causes_1TD.squeeze(0).sum(-1).detach()
        gap = float(gap_1.abs())
        if gap <= _GAP * float(causes_T.abs().sum()) + _ROUNDING:
            return causes_T
    raise UserError(
        f"method: integrated_gradients of {type(model).__name__} differ from the score by "
        f"{gap:.3g} in sum even with {_STEPS[-1]} steps; use method=occlusion"
    )


def _query(model: Any, batch: Batch, x_TD: Tensor) -> Tensor:
    """The model's states with ``x_TD`` as the item vectors of the batch's events."""

    def replaced(module: Any, arguments: Any, output: Tensor) -> Tensor:
        del module, arguments
        if output.shape != x_TD.shape:  # the model looks up other items, too
            raise UserError(
                f"method: {type(model).__name__} looks up other items than those of the events; "
                "use method=occlusion"
            )
        return x_TD

    hook = model.items.register_forward_hook(replaced)
    try:
        states: Tensor = model.query_states(batch)
    finally:
        hook.remove()
    return states


def joined(batches: list[Batch]) -> Batch:
    """Concatenate batches."""
    lengths = tuple(length for batch in batches for length in batch.lengths)
    device = batches[0].items_T.device
    times = [batch.timestamps_T for batch in batches]
    coming = [batch.next_times_B for batch in batches]
    return Batch(
        users_B=torch.cat([batch.users_B for batch in batches]),
        items_T=torch.cat([batch.items_T for batch in batches]),
        offsets=torch.tensor((0, *lengths), device=device).cumsum(0),
        lengths=lengths,
        timestamps_T=None if times[0] is None else torch.cat([t for t in times if t is not None]),
        features={
            name: joined_column([batch.features[name] for batch in batches])
            for name in batches[0].features
        },
        next_times_B=None if coming[0] is None else torch.cat([t for t in coming if t is not None]),
    )


def joined_column(columns: list[Any]) -> Any:
    """Concatenate a feature column of several batches."""
    if isinstance(columns[0], torch.Tensor):
        return torch.cat(columns)
    lengths = torch.cat([column.offsets.diff() for column in columns])
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return type(columns[0])(torch.cat([column.codes for column in columns]), offsets)
