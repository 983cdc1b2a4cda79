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

    def extend(self, items: Items, kept: Codes) -> Codes:  # noqa: ARG002
        """The codes of all items; new ones get the next codes, in order."""
        codes_V1, (before,) = kept.codes_VL.copy(), kept.num_codes
        is_new_V = codes_V1[:, 0] < 0
        count = before + int(is_new_V.sum())
        codes_V1[is_new_V, 0] = np.arange(before, count)
        return Codes(codes_V1, (count,))
