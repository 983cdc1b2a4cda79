"""Codes from a category tree that the items have: a column of paths, from the root to a leaf.

Shapes: V items, L levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, MinLen

from recsys_lab.config import UserError
from recsys_lab.contracts import FIRST_KNOWN
from recsys_lab.models.inputs.item_columns import full_name
from recsys_lab.semantic_ids.base import Codes, Items, Quantiser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.data.features.store import FeatureStore

NONE = 0
"""Code of an item without a category at a level, or with one that no item of training has."""


class CategoryTree(Quantiser):
    """The categories of an item, coarse to fine: one level each.

    Categories with one name at one level have one code. Code 0 is for items without a category at
    the level, and for categories of items without training events alone. Items with the same
    categories are told apart by ``deduplicate`` only.
    """

    @dataclass(frozen=True)
    class Config(Quantiser.Config):
        """Options of `CategoryTree`.

        Attributes:
            column: item column with the paths: of type list, coarse to fine, or categorical or
                text with a separator.
            separator: text between the categories of a path; not used for lists.
            levels: L, without the one that tells duplicates apart; null: the longest path.
        """

        column: str
        separator: Annotated[str, MinLen(1)]
        levels: Annotated[int, Ge(1)] | None

    config: Config

    def quantise(self, items: Items) -> Codes:
        """The codes of all items."""
        config = self.config
        name = full_name(config.column)
        paths = _paths(items.data.features, name, config.separator)
        depth = max((len(p) for p, known in zip(paths, items.is_known_V, strict=True) if known))
        if not depth:
            raise UserError(
                f"semantic_ids.column={config.column}: no item with training events has a category "
                "in this column; name another column"
            )
        num_levels = config.levels or depth
        if num_levels > depth:
            raise UserError(
                f"semantic_ids.levels: got {num_levels}, but the longest path in "
                f"{config.column} has {depth} categories; use at most {depth}, or null"
            )
        codes_VL = np.full((len(paths), num_levels), NONE, dtype=np.int64)
        num_codes = []
        for level in range(num_levels):
            names_V = [path[level] if level < len(path) else None for path in paths]
            trained = {n for n, known in zip(names_V, items.is_known_V, strict=True) if known and n}
            codes = {name: NONE + 1 + place for place, name in enumerate(sorted(trained))}
            codes_VL[:, level] = [codes.get(name, NONE) if name else NONE for name in names_V]
            num_codes.append(len(codes) + 1)
        without = sum(not path for path in paths)
        return Codes(codes_VL, tuple(num_codes), {"items_without_category": without})


def _paths(columns: FeatureStore, name: str, separator: str) -> list[Sequence[str]]:
    """The categories of each item, coarse to fine."""
    kind = columns.entry(name)["type"]
    if kind == "numeric":
        raise UserError(
            f"semantic_ids.column: '{name}' is of type numeric; a list, categorical or text column "
            "is needed"
        )
    if kind != "list":
        texts = (text or "" for text in columns.text(name))
        return [[p.strip() for p in text.split(separator) if p.strip()] for text in texts]
    values = [str(value) for value in columns.values(name)]
    codes, offsets = columns.column(name)
    # Of a category that no item of training has, only that it is unknown is stored.
    names = [values[code - FIRST_KNOWN] if code >= FIRST_KNOWN else "" for code in codes.tolist()]
    return [names[a:b] for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
