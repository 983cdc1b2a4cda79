"""Another run's weights on other data: rows are matched by raw id, never by index.

- The vectors of items are matched by raw item id, those of the values of a column by the value.
- A new item or value starts as the mean of the matched vectors plus its own random initialisation:
  as an average item, instead of one that all trained vectors differ from.
- The vectors of semantic IDs are matched by level and code; known items must have kept their codes.
- All other weights are copied.

Shapes: V items or values of these data, S of the other, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recsys_lab.config import UserError
from recsys_lab.contracts import FIRST_KNOWN
from recsys_lab.experiment.semantic_ids import KEPT_CODES
from recsys_lab.models.generative.base import CodeGenerator
from recsys_lab.models.inputs.tables import ITEMS, tables_by_raw_id
from recsys_lab.models.sequential.dot_product import DotProductModel
from recsys_lab.semantic_ids.artefact import read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from recsys_lab.contracts import SemanticIds
    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.experiment.components import Components
    from recsys_lab.runs.record import RunRecord

NEW_ROWS = "mean of the matched vectors plus random initialisation"


def match_weights(
    where: str,
    source: RunRecord,
    old: PreparedDataset,
    parts: Components,
    weights: dict[str, Tensor],
) -> dict[str, Any]:
    """Match the weights of a run on other data with this run's, in place.

    Args:
        where: the option, for messages.
        source: record of the other run.
        old: its dataset.
        parts: components of this run.
        weights: of the other run, by name.

    Returns:
        What was matched, for the record: numbers of items that are taken, fresh and left out.

    Raises:
        UserError: there is nothing to match by.
    """
    model = parts.model
    ids, theirs = parts.data.item_ids(), old.item_ids()
    from_V = matched(theirs, ids)
    shared = int((from_V >= 0).sum())
    if not shared:
        raise UserError(
            f"{where}: has no item in common with these data: ids there are e.g. {theirs[0]!r}, "
            f"here {ids[0]!r}"
        )
    left = len(theirs) - shared
    counts = {"items_taken": shared, "items_fresh": len(ids) - shared, "items_left_out": left}
    if isinstance(model, CodeGenerator):
        assert parts.semantic_ids is not None
        return counts | _match_codes(where, source, parts.semantic_ids, model, ids, weights)
    if not isinstance(model, DotProductModel):
        raise UserError(
            f"{where}: was trained on other data, and the item weights of {parts.model_name} are "
            "not known; use the same data, or a model that derives from "
            "recsys_lab.models.sequential.dot_product.DotProductModel"
        )
    columns = match_rows(model, weights, from_V, old, parts.data)
    return counts | {"new_rows": NEW_ROWS} | ({"columns": columns} if columns else {})


def matched(theirs: Sequence[Any], ours: Sequence[Any]) -> NDArray[np.int64]:
    """Index among the other ids of each of ours, as text; -1 for one that is not there, (V,)."""
    index = {str(raw): number for number, raw in enumerate(theirs)}
    return np.array([index.get(str(raw), -1) for raw in ours], dtype=np.int64)


def match_rows(
    model: DotProductModel,
    weights: dict[str, Tensor],
    from_V: NDArray[np.int64],
    old: PreparedDataset,
    new: PreparedDataset,
) -> dict[str, dict[str, int]]:
    """Match the rows of items and of values of columns, in place.

    Args:
        model: of this run, with its random weights.
        weights: of the other run, by name.
        from_V: index of each item there, or -1.
        old: the dataset of the other run.
        new: the dataset of this run.

    Returns:
        Column -> numbers of values that are taken, fresh and left out.
    """
    rows, columns = {ITEMS: from_V}, {}
    own = dict(model.named_parameters(remove_duplicate=False))
    for name, kind in tables_by_raw_id(model).items():
        if kind not in rows:
            theirs, ours = old.features.values(kind), new.features.values(kind)
            from_values = matched(theirs, ours)
            taken = int((from_values >= 0).sum())
            columns[kind] = {
                "taken": taken, "fresh": len(ours) - taken, "left_out": len(theirs) - taken
            }  # fmt: skip
            known = np.where(from_values >= 0, from_values + FIRST_KNOWN, -1)
            rows[kind] = np.concatenate([np.arange(FIRST_KNOWN), known])
        reserved = 0 if kind == ITEMS else FIRST_KNOWN
        weights[name] = _mapped(weights[name], own[name].detach(), rows[kind], reserved)
    return columns


def _mapped(
    theirs_SD: Tensor, own_VD: Tensor, from_V: NDArray[np.int64], reserved: int = 0
) -> Tensor:
    """Rows of the other table where there are any, else their mean plus those of this table.

    The first ``reserved`` rows, of missing and unknown values, are not in the mean.
    """
    rows = torch.from_numpy(from_V)
    is_there = rows >= 0
    mapped = own_VD.clone().cpu()
    taken = theirs_SD[rows[is_there]].to(mapped.dtype)
    mapped[is_there] = taken
    if len(taken) > reserved:
        mapped[~is_there] += taken[reserved:].mean(0)
    return mapped


def _match_codes(
    where: str,
    source: RunRecord,
    ids: SemanticIds,
    model: CodeGenerator,
    item_ids: Sequence[Any],
    weights: dict[str, Tensor],
) -> dict[str, Any]:
    """Match the vectors of codes, in place; known items must have the codes they had."""
    with source.reading(KEPT_CODES) as path:
        table, noted = read_table(path, "")
    theirs = table["item_id"].to_list()
    columns = [name for name in table.columns if name.startswith("code_")]
    codes_SL = table.select(columns).to_numpy()
    num_codes, ours_VL = tuple(noted["num_codes"]), ids.codes_VL.numpy()
    from_V = matched(theirs, item_ids)
    known_V = from_V >= 0
    same_levels = codes_SL.shape[1] == ours_VL.shape[1]
    if not same_levels or (codes_SL[from_V[known_V]] != ours_VL[known_V]).any():
        raise UserError(
            f"{where}: known items have other semantic IDs now, so the weights of the codes mean "
            "other items. Keep the codes with semantic_ids.keep=RUN_DIR (retrain does it where the "
            "quantiser can), or train without initial weights"
        )
    own = dict(model.named_parameters(remove_duplicate=False))
    for name in model.by_user_index:
        if name in own:  # the index of a user means another user in other data
            weights[name] = own[name].detach().clone().cpu()
    if num_codes != ids.num_codes:
        firsts = np.cumsum([0, *num_codes])
        parts = [
            np.concatenate([np.arange(min(old, new)) + first, np.full(max(new - old, 0), -1)])
            for first, old, new in zip(firsts, num_codes, ids.num_codes, strict=False)
        ]
        rows = np.concatenate(parts).astype(np.int64)
        for name, value in own.items():
            grew = value.shape[:1] == (sum(ids.num_codes),)
            if grew and weights[name].shape[:1] == (sum(num_codes),):
                weights[name] = _mapped(weights[name], value.detach(), rows)
    return {"new_rows": NEW_ROWS}
