"""The weights of a model whose rows stand for items or for values of a column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from recsys_lab.models.inputs.context import TIMES, Context
from recsys_lab.models.inputs.item_features import CodedFeature, KnownItems, ListedFeature

if TYPE_CHECKING:
    from recsys_lab.models.sequential.dot_product import DotProductModel

ITEMS = "items"


def tables_by_raw_id(model: DotProductModel) -> dict[str, str]:
    """Name of each such parameter -> `ITEMS`, or the column, e.g. ``item.category``.

    All other weights do not depend on the codes of a dataset.
    """
    rows: dict[str, str] = {}
    for name in ("items", "output"):
        if isinstance(getattr(model, name), nn.Embedding):
            rows[f"{name}.weight"] = ITEMS
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, KnownItems):
            rows[f"{path}.items.weight"] = ITEMS
        elif isinstance(module, CodedFeature | ListedFeature):
            rows[f"{path}.table.weight"] = module.column
        elif isinstance(module, Context):
            for key, table in module.tables.items():
                column = key.replace("_", ".", 1)
                if column not in TIMES and isinstance(table, nn.Embedding):
                    rows[f"{path}.tables.{key}.weight"] = column
    # Weights that are one tensor have a row in the state for each of their names.
    named = dict(model.named_parameters(remove_duplicate=False))
    kinds = {id(named[name]): kind for name, kind in rows.items()}
    return {name: kinds[id(own)] for name, own in named.items() if id(own) in kinds}
