"""One code for each item: the degenerate case, in which a generator is an ID model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recsys_lab.semantic_ids.base import Codes, Items, Quantiser


class OneCode(Quantiser):
    """One level, whose code is the item."""

    @dataclass(frozen=True)
    class Config(Quantiser.Config):
        """Options of `OneCode`: no items share a code."""

    def quantise(self, items: Items) -> Codes:
        """The codes of all items, (V, 1)."""
        num_items = items.data.num_items
        return Codes(np.arange(num_items, dtype=np.int64)[:, None], (num_items,))
